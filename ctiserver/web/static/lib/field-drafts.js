// What somebody in the field has ticked and written for an order and not sent yet: it survives a reload.

export class FieldDrafts {
  #place;

  constructor(userId) {
    this.#place = `cti-field-drafts:${userId}`;
  }

  /** `{checked, report, outcome}` of an order; the last two may be missing. */
  of(order) {
    return { checked: [], ...this.#all()[order] };
  }

  keep(order, changes) {
    const all = this.#all();
    this.#write({ ...all, [order]: { ...this.of(order), ...changes } });
  }

  /** Forget those of orders that are not open any more. */
  prune(open) {
    this.#write(Object.fromEntries(Object.entries(this.#all()).filter(([order]) => open.includes(order))));
  }

  #all() {
    return JSON.parse(localStorage.getItem(this.#place) ?? "{}");
  }

  #write(all) {
    localStorage.setItem(this.#place, JSON.stringify(all));
  }
}
