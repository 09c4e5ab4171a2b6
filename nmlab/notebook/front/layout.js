// How the bench is laid out: as two columns where it is wide, and whether its form is in sight.

import { button } from "./dom.js";

export const WIDE = 830; // CSS pixels from which the form is a column of its own
const REMEMBERED = "nmlab.form"; // in the browser, for all benches

/**
 * Whether the form is in sight. In a wide bench as it was last chosen; in a narrow one while no fit goes on, unless
 * it was opened or closed since the last one began or ended.
 * @param {{ wide: boolean, going: boolean, chosen: boolean, since: boolean | null }} state
 */
export function formShown({ wide, going, chosen, since }) {
  return wide ? chosen : (since ?? !going);
}

/** @returns {boolean} whether the form was in sight when it was last chosen */
function remembered() {
  try {
    return localStorage.getItem(REMEMBERED) !== "closed";
  } catch { // a page that may store nothing
    return true;
  }
}

/**
 * Lays out `root` by its width; `form` is the part that folds.
 * @param {HTMLElement} root
 * @param {HTMLElement} form with an id
 * @param {() => boolean} going whether a fit goes on
 */
export function makeLayout(root, form, going) {
  let chosen = remembered(), wide = true, was = going();
  /** @type {boolean | null} */
  let since = null;
  const fold = button("Settings", () => {
    const shown = !formShown({ wide, going: going(), chosen, since });
    if (!wide) since = shown;
    else {
      chosen = shown;
      try {
        localStorage.setItem(REMEMBERED, shown ? "open" : "closed");
      } catch { /* then until the page is loaded again */ }
    }
    show();
  }, { class: "nm-fold", "aria-controls": form.id, "data-key": "fold", title: "Show or hide the form" });

  function show() {
    if (was !== going()) [was, since] = [going(), null];
    const shown = formShown({ wide, going: was, chosen, since });
    form.hidden = !shown;
    fold.setAttribute("aria-expanded", String(shown));
    root.classList.toggle("nm-wide", wide);
    root.classList.toggle("nm-columns-2", wide && shown);
  }
  /** @param {number} width */
  function resize(width) {
    if (width > 0) wide = width >= WIDE;
    show();
  }
  show();
  return { fold, show, resize };
}
