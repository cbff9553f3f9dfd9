// All of Lit that the console uses, as one module: what is not named here is not in the bundle.
export { LitElement, css, html, nothing, svg } from "lit";
export { live } from "lit/directives/live.js";
export { repeat } from "lit/directives/repeat.js";
