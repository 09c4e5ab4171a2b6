// What Python and the page say to each other, as types: the traits of `Panel` in panel.py. Nothing here runs.

/**
 * A field of a form, as `nmlab.form.Form.describe` gives it.
 * @typedef {object} Field
 * @property {string} name
 * @property {string} label
 * @property {"text" | "slider" | "choice" | "boolean" | "code"} kind
 * @property {string} help
 * @property {string} expects
 * @property {string} default_text
 * @property {string} [unit]
 * @property {string} [placeholder]
 * @property {boolean} [numeric]
 * @property {boolean} locked
 * @property {boolean} first whether it is always in sight
 * @property {string[]} [stops] of a slider, as texts
 * @property {string[]} [options] of a choice
 * @property {Tie} [tie] of a parameter that another form has too
 */

/** @typedef {{ name: string, text: string, tied: boolean | null }} Tie whether it is one field of both; null: never */

/** @typedef {{ title: string, fields: Field[], remarks?: string[], folded?: string, shared?: string }} FormSpec */

/**
 * What stands in a form, as `Form.state` gives it: each by name.
 * @typedef {object} Entries
 * @property {Record<string, string | boolean>} shown
 * @property {Record<string, string>} faults
 * @property {Record<string, boolean>} changed
 */

/**
 * A row of the table of runs, as `nmlab.runs.table.rows` gives it; the last ones are added by the table itself.
 * @typedef {object} RunRow
 * @property {string} id
 * @property {string} name
 * @property {string | null} data
 * @property {string | null} changed
 * @property {number} epochs
 * @property {number | null} best
 * @property {number | null} best_epoch
 * @property {number | null} test
 * @property {number} seconds
 * @property {number} size
 * @property {string} status
 * @property {string | null} note
 * @property {string} created
 * @property {boolean} is_best
 * @property {string | null} error
 * @property {{ id: string, count: number, best: string, mean: number | null, withheld: string } | null} group
 * @property {string[]} [members] of a row for several runs
 * @property {boolean} [isOpen]
 * @property {string | null} [spread]
 * @property {boolean} [going]
 * @property {boolean} [within] one of those several
 * @property {boolean} [stale] the kernel that it ran in is gone
 */

/** @typedef {{ name: string, values: string, use: string }} Column */
/** @typedef {{ columns: Column[], uses: [string, string][], more?: number }} ColumnsSpec */

/**
 * @typedef {object} Message
 * @property {string} [html]
 * @property {boolean} [undo]
 * @property {string} [lr]
 * @property {string} [swap]
 * @property {string} [at]
 * @property {string} [text]
 * @property {ColumnsSpec | null} [columns]
 */

/**
 * @typedef {object} Controls
 * @property {string[]} enabled
 * @property {number} turn
 * @property {boolean} busy
 * @property {string} run
 * @property {string} state of that run, such as 'paused'
 * @property {boolean} paused
 * @property {string} hint
 * @property {[string, string][]} starts
 * @property {string} start
 */

/**
 * What Python made for the tab that is seen.
 * @typedef {object} Page
 * @property {string} [tab]
 * @property {string} [html]
 * @property {boolean} [picture]
 * @property {number} [number]
 * @property {number} [width]
 * @property {number} [height]
 * @property {string} [alt]
 * @property {string} [run]
 * @property {string} [asks]
 * @property {boolean} [curves] whether curves are drawn here
 */

/**
 * What Python sends of curves: `lines` where all begins anew, then the new points of some, as numbers in a buffer.
 * @typedef {object} CurvesMessage
 * @property {number} number of the message, one more than the last one's
 * @property {boolean} anew
 * @property {string} [run] whose curves they are
 * @property {{ name: string, chart: number, colour: number, dash: number, width: number, legend: boolean, role: string }[]} lines
 * @property {[number, number][]} counts line and number of its new points, whose epochs and values follow each other
 * @property {{ name: string, what: string, words: string, zero: boolean, best: [number, number | null] | null, best_text: string, marks: [number, string][] }[]} [charts]
 * @property {string} [alt]
 */

/** @typedef {{ name: string, low: number, high: number, step: number, lowest: string, highest: string, value: number, text: string }} Slider */
/** @typedef {{ name: string, values: (number | null)[], text: string }} Output */

/**
 * @typedef {object} Tried
 * @property {string} [run]
 * @property {string} [asks]
 * @property {string} [why]
 * @property {Slider[]} [sliders]
 * @property {Output[]} [outputs]
 * @property {{ name: string, broken: boolean, text: string }[]} [violations]
 * @property {string[]} [said]
 * @property {string} [code]
 */

/**
 * @typedef {object} Board
 * @property {string} [phase]
 * @property {number} [port]
 * @property {string} [key]
 * @property {string} [filter]
 * @property {string} [what]
 * @property {string} [html]
 * @property {number} [height]
 * @property {boolean} [closable]
 */

/**
 * @typedef {object} Traits
 * @property {string} key
 * @property {{ data?: FormSpec, options?: FormSpec } & Record<string, FormSpec>} form
 * @property {Record<string, Entries>} entries
 * @property {string[]} presets
 * @property {Controls} controls
 * @property {string} progress
 * @property {string} heard
 * @property {{ text?: string, warning?: string }} memory
 * @property {Message} message
 * @property {{ endings: string[], most: number }} takes
 * @property {{ open?: boolean, kept?: string, epochs: number, low: number, high: number }} guess
 * @property {[string, string][]} tabs
 * @property {Page} page
 * @property {{ label: string, value: string, note: string }[]} tiles
 * @property {DataView<ArrayBuffer>} picture
 * @property {Tried} tried
 * @property {RunRow[]} runs
 * @property {Board} board
 * @property {Record<string, Record<string, string>>} saved
 * @property {string} retired
 * @property {string} tab
 * @property {{ log?: boolean, zoom?: string, smooth?: number }} scales
 * @property {string[]} ticked
 * @property {{ sort?: number, down?: boolean, filter?: string, open?: string[], without?: string[] }} table
 * @property {{ width: number, ratio: number, dark: boolean }} screen
 */

/**
 * The page's half of the widget, as anywidget hands it over.
 * @typedef {object} Model
 * @property {<K extends keyof Traits>(name: K) => Traits[K]} get
 * @property {<K extends keyof Traits>(name: K, value: Traits[K]) => void} set
 * @property {(event: string, call: (...args: any[]) => void) => void} on
 * @property {(event: string, call: (...args: any[]) => void) => void} off
 * @property {(message: unknown, callbacks?: unknown, buffers?: ArrayBuffer[]) => void} send
 * @property {() => void} save_changes
 * @property {any} widget_manager
 */

/** @typedef {(message: Record<string, unknown>, buffers?: ArrayBuffer[]) => void} Send */

export {};
