// What buttons, cards and fields look like, once for all components.
import { css } from "lit";

export const shared = css`
  :host {
    display: block;
    font: inherit;
    color: var(--ink);
  }
  :host([hidden]),
  [hidden] {
    display: none !important;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h1,
  h2,
  h3,
  p,
  ul,
  ol,
  dl,
  dd,
  fieldset {
    margin: 0;
    padding: 0;
    border: 0;
    min-width: 0;
  }
  ul,
  ol {
    list-style: none;
  }
  h2 {
    font-size: 1rem;
    font-weight: 650;
  }
  h3,
  legend,
  .label {
    font-size: 0.82rem;
    font-weight: 600;
    color: var(--ink-soft);
    padding: 0;
  }
  h3,
  legend {
    padding-bottom: 0.25rem;
  }
  :focus-visible {
    outline: 3px solid var(--focus);
    outline-offset: 2px;
  }
  .card {
    background: var(--card);
    border: 1px solid var(--line);
    border-radius: var(--radius);
    box-shadow: var(--shadow);
    padding: 1.1rem 1.25rem;
  }
  .soft {
    color: var(--ink-soft);
  }
  .small {
    font-size: 0.87rem;
  }
  .number {
    font-variant-numeric: tabular-nums;
    letter-spacing: 0.01em;
  }
  .row {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.6rem;
  }
  .spread {
    justify-content: space-between;
  }
  .stack {
    display: grid;
    gap: 0.9rem;
  }
  button,
  .button {
    font: inherit;
    font-weight: 600;
    min-height: 2.5rem;
    padding: 0.4rem 1rem;
    border-radius: 9px;
    border: 1px solid var(--line-strong);
    background: var(--card);
    color: var(--ink);
    cursor: pointer;
    display: inline-flex;
    align-items: center;
    gap: 0.5rem;
    text-decoration: none;
  }
  button:hover:not(:disabled) {
    background: var(--sunken);
  }
  button.primary {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--on-accent);
  }
  button.primary:hover:not(:disabled) {
    background: var(--accent-strong);
    border-color: var(--accent-strong);
  }
  button.quiet {
    border-color: transparent;
    background: transparent;
    color: var(--ink-soft);
  }
  button:disabled {
    opacity: 0.55;
    cursor: default;
  }
  label {
    display: grid;
    gap: 0.3rem;
  }
  input:not([type="radio"]):not([type="checkbox"]),
  select,
  textarea {
    font: inherit;
    color: inherit;
    width: 100%;
    min-height: 2.5rem;
    padding: 0.45rem 0.7rem;
    border: 1px solid var(--line-strong);
    border-radius: 9px;
    background: var(--card);
  }
  textarea {
    resize: vertical;
    line-height: 1.5;
  }
  [aria-invalid="true"] {
    border-color: var(--bad) !important;
    box-shadow: 0 0 0 1px var(--bad);
  }
  .chip {
    display: inline-flex;
    align-items: center;
    gap: 0.4rem;
    padding: 0.12rem 0.6rem;
    border-radius: 99px;
    font-size: 0.83rem;
    font-weight: 600;
    background: var(--calm-soft);
    color: var(--calm);
    white-space: nowrap;
  }
  .chip.good {
    background: var(--good-soft);
    color: var(--good);
  }
  .chip.warn {
    background: var(--warn-soft);
    color: var(--warn);
  }
  .chip.bad {
    background: var(--bad-soft);
    color: var(--bad);
  }
  .chip.accent {
    background: var(--accent-soft);
    color: var(--accent-strong);
  }
  .notice {
    border-radius: 9px;
    padding: 0.6rem 0.9rem;
    background: var(--calm-soft);
    color: var(--calm);
  }
  .notice.bad {
    background: var(--bad-soft);
    color: var(--bad);
  }
  .notice.good {
    background: var(--good-soft);
    color: var(--good);
  }
  kbd {
    font: inherit;
    font-size: 0.74rem;
    font-weight: 600;
    padding: 0 0.35rem;
    border: 1px solid currentcolor;
    border-radius: 5px;
  }
  .unseen {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  @media (prefers-reduced-motion: reduce) {
    * {
      animation: none !important;
      transition: none !important;
    }
  }
`;

/** Dialogs that lie over the page, in sections; `--width` is what they take where there is room. */
export const dialogs = css`
  dialog {
    border: 1px solid var(--line);
    border-radius: var(--radius);
    padding: 1.2rem 1.4rem;
    width: min(var(--width), 94vw);
    background: var(--card);
    color: inherit;
  }
  dialog::backdrop {
    background: rgb(0 0 0 / 45%);
  }
  section {
    display: grid;
    gap: 0.5rem;
    padding-top: 0.9rem;
    border-top: 1px solid var(--line);
  }
`;

/** Pages that list entries under a heading, a line between two. */
export const entries = css`
  h1 {
    font-size: 1.3rem;
    padding-bottom: 0.9rem;
  }
  li {
    display: grid;
    gap: 0.3rem;
    padding: 0.6rem 0;
  }
  li + li {
    border-top: 1px solid var(--line);
  }
`;
