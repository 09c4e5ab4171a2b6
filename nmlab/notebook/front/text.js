// Numbers, durations and sizes in the words of `nmlab.runtime.text`.

const RAISED = ["⁰", "¹", "²", "³", "⁴", "⁵", "⁶", "⁷", "⁸", "⁹"];

/**
 * A number as Python's `typeset_number` writes it, such as 3.7×10⁻⁶.
 * @param {number | null | undefined} value
 * @param {number} [digits]
 */
export function numberText(value, digits = 4) {
  if (value === null || value === undefined) return "";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "not a number" : value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e5)) {
    const rounded = Number(value.toPrecision(digits));
    return (Math.abs(rounded) >= 10 ** digits ? value.toFixed(0) : String(rounded)).replace("-", "−");
  }
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = `10${[...String(Number(exponent))].map((sign) => (sign === "-" ? "⁻" : RAISED[Number(sign)])).join("")}`;
  const factor = String(Number(mantissa));
  const text = factor === "1" || factor === "-1" ? factor.slice(0, -1) + power : `${factor}×${power}`;
  return text.replace("-", "−");
}

/**
 * A duration as Python's `duration_text` writes it.
 * @param {number} seconds
 */
export function durationText(seconds) {
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const whole = Math.round(seconds), minutes = Math.floor(whole / 60);
  const two = (/** @type {number} */ value) => String(value).padStart(2, "0");
  return minutes >= 60 ? `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min` : `${minutes} min ${two(whole % 60)} s`;
}

/**
 * A number of bytes as Python's `size_text` writes it.
 * @param {number} bytes
 */
export function sizeText(bytes) {
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`;
  const [value, unit] = bytes < 1e10 ? [bytes / 1e6, "MB"] : [bytes / 1e9, "GB"];
  return `${value.toFixed(1).replace(/\.0$/, "")} ${unit}`;
}
