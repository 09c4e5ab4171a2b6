// A page and a widget's model for tests in Node.

import { Window } from "happy-dom";

const window = new Window();
for (const name of ["document", "Event", "Element", "HTMLElement", "HTMLInputElement", "HTMLSelectElement", "KeyboardEvent", "MouseEvent", "Node", "SVGElement"]) {
  globalThis[name] = window[name];
}
globalThis.window = window;

/** A model that holds `traits`, notes what is sent in `sent`, and tells of what `change` sets. */
export function makeModel(traits) {
  const held = { ...traits }, calls = {}, sent = [];
  const tell = (event, ...more) => { for (const call of calls[event] ?? []) call(...more); };
  return {
    sent,
    get: (name) => held[name],
    set: (name, value) => { held[name] = value; },
    on: (event, call) => { calls[event] = [...(calls[event] ?? []), call]; },
    off: (event, call) => { calls[event] = (calls[event] ?? []).filter((other) => other !== call); },
    send: (message) => { sent.push(message); },
    save_changes: () => {},
    change: (changed) => {
      Object.assign(held, changed);
      for (const name of Object.keys(changed)) tell(`change:${name}`);
    },
    tell,
  };
}
