// What the dispatcher's day looks like.
import { css } from "lit";

export const look = css`
  :host {
    display: grid;
    gap: 0.9rem;
  }
  h1 {
    font-size: 1.3rem;
  }
  .scroll {
    overflow-x: auto;
    padding: 0;
  }
  table {
    width: 100%;
    border-collapse: collapse;
    table-layout: fixed;
    min-width: 62rem;
  }
  th,
  td {
    border-bottom: 1px solid var(--line);
    border-right: 1px solid var(--line);
    padding: 0.35rem;
    vertical-align: top;
    text-align: left;
    font-weight: inherit;
  }
  thead th {
    font-size: 0.83rem;
    font-weight: 600;
    color: var(--ink-soft);
    padding: 0.5rem 0.35rem;
  }
  thead th.now {
    color: var(--accent-strong);
    box-shadow: inset 0 -3px var(--accent);
  }
  th:first-child {
    width: 10rem;
    padding-left: 0.9rem;
  }
  .person {
    display: grid;
    gap: 0.15rem;
    justify-items: start;
  }
  td {
    height: 4.2rem;
  }
  td.off {
    background: repeating-linear-gradient(-45deg, transparent 0 6px, var(--sunken) 6px 12px);
  }
  td.target {
    outline: 3px solid var(--focus);
    outline-offset: -3px;
    background: var(--accent-soft);
  }
  .name {
    min-height: 2rem;
    padding: 0 0.4rem;
    margin-left: -0.4rem;
    border-color: transparent;
    background: transparent;
    justify-content: flex-start;
  }
  .load {
    color: var(--ink-soft);
  }
  .tray {
    display: grid;
    gap: 0.5rem;
  }
  .pile {
    display: flex;
    flex-wrap: wrap;
    gap: 0.5rem;
  }
  .pile .visit {
    width: 11rem;
  }
  .visit {
    display: grid;
    gap: 0.1rem;
    width: 100%;
    min-height: 0;
    padding: 0.35rem 0.5rem;
    margin-bottom: 0.25rem;
    text-align: left;
    justify-items: start;
    font-weight: 500;
    font-size: 0.87rem;
    border-left: 4px solid var(--accent);
    overflow: hidden;
  }
  .visit[draggable="true"] {
    cursor: grab;
  }
  .visit .who {
    font-weight: 600;
    overflow-wrap: anywhere;
  }
  .visit .number {
    font-size: 0.78rem;
    color: var(--ink-soft);
  }
  .visit.en_route,
  .visit.started {
    background: var(--accent-soft);
  }
  .visit.done {
    border-left-color: var(--good);
  }
  .visit.late {
    border-color: var(--bad);
    border-left-color: var(--bad);
  }
  .visit.held {
    outline: 3px dashed var(--focus);
    outline-offset: -1px;
  }
  .visit .chip {
    font-size: 0.74rem;
    padding: 0.05rem 0.45rem;
  }
  .marks {
    display: flex;
    flex-wrap: wrap;
    gap: 0.2rem;
  }
  .details {
    display: grid;
    gap: 0.9rem;
  }
  .close {
    float: right;
  }
  dl {
    display: grid;
    grid-template-columns: auto 1fr;
    gap: 0.15rem 0.9rem;
  }
  dt {
    color: var(--ink-soft);
  }
  form {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr));
    gap: 0.8rem;
    align-items: end;
  }
  label.inline {
    display: flex;
    align-items: center;
    white-space: nowrap;
  }
  #date {
    width: auto;
  }
`;
