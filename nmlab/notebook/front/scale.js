// Numbers of a chart: limits, ticks, smoothing, and long curves reduced to what can be seen. No DOM.

/** @typedef {ArrayLike<number>} Numbers */
/** @typedef {{ low: number, high: number }} Range */

const HUGE = 1e150; // limits and margins of larger values would overflow

/**
 * About `count` round numbers from `low` to `high`.
 * @param {Range} range
 * @param {boolean} log
 * @param {number} count
 */
export function ticks({ low, high }, log, count) {
  if (log) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const powers = Array.from({ length: last - first + 1 }, (_, place) => first + place);
    for (const steps of [[1], [1, 3], [1, 2, 5]]) {
      const inside = powers.flatMap((power) => steps.map((step) => Number(`${step}e${power}`))).filter((value) => value >= low && value <= high);
      const every = Math.ceil(inside.length / (count + 1));
      if (inside.length >= 3) return inside.filter((_, place) => place % every === 0);
    }
  }
  return spaced({ low, high }, [1, 2, 2.5, 5, 10], count, 0);
}

/**
 * About `count` whole numbers that are not negative.
 * @param {Range} range
 * @param {number} count
 */
export function epochTicks(range, count) {
  return spaced(range, [1, 2, 5, 10], count, 1).filter((epoch) => epoch >= 0);
}

/**
 * @param {Range} range
 * @param {number[]} steps
 * @param {number} count
 * @param {number} least the smallest step
 */
function spaced({ low, high }, steps, count, least) {
  const wanted = Math.max((high - low) / (Math.max(count, 1) + 1), least, Number.MIN_VALUE);
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = Math.max((steps.find((each) => each * power >= wanted * (1 - 1e-9)) ?? 10) * power, least);
  const first = Math.ceil(low / step - 1e-9), number = Math.min(Math.floor(high / step + 1e-9) - first + 1, 100);
  return Array.from({ length: Math.max(number, 0) }, (_, place) => Number(((first + place) * step).toPrecision(12)) + 0);
}

/**
 * Limits around the finite values with a margin; their width is never zero.
 * @param {Numbers[]} curves
 * @param {boolean} log
 * @returns {Range}
 */
export function limits(curves, log) {
  let low = Infinity, high = -Infinity;
  for (const curve of curves) {
    for (let place = 0; place < curve.length; place += 1) {
      const value = curve[place];
      if (!Number.isFinite(value) || (log && value <= 0)) continue;
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  if (low > high) return log ? { low: 0.1, high: 10 } : { low: 0, high: 1 };
  [low, high] = [low, high].map((value) => Math.min(Math.max(value, -HUGE), HUGE));
  if (log) [low, high] = [Math.log10(Math.max(low, 1 / HUGE)), Math.log10(high)];
  let room = 0.06 * (high - low);
  if (room < 1e-7 * Math.max(Math.abs(low), Math.abs(high)) || room === 0) room = log ? 0.1 : 0.05 * Math.max(Math.abs(low), Math.abs(high)) || 1;
  return log ? { low: 10 ** (low - room), high: 10 ** (high + room) } : { low: low - room, high: high + room };
}

/**
 * Limits around epochs.
 * @param {Numbers[]} curves
 * @returns {Range}
 */
export function epochLimits(curves) {
  const ends = curves.filter((x) => x.length).flatMap((x) => [x[0], x[x.length - 1]]);
  const low = ends.length ? Math.min(...ends) : 0, high = ends.length ? Math.max(...ends) : 0;
  const room = 0.02 * (high - low) || 0.5;
  return { low: low - room, high: high + room };
}

/**
 * The first place in ascending `x` that is not below `value`.
 * @param {Numbers} x
 * @param {number} value
 */
export function placeOf(x, value) {
  let low = 0, high = x.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The place in ascending `x` nearest to `value`; -1 of an empty one.
 * @param {Numbers} x
 * @param {number} value
 */
export function nearest(x, value) {
  const place = placeOf(x, value);
  if (place === 0) return x.length ? 0 : -1;
  if (place === x.length) return place - 1;
  return value - x[place - 1] <= x[place] - value ? place - 1 : place;
}

/**
 * The part of a curve within a range, at most four points in each of `columns`: the first, the last, the lowest and the
 * highest (as `nmlab.plots.thin`).
 * @param {Numbers} x
 * @param {Numbers} y
 * @param {Range} range
 * @param {number} columns
 * @returns {{ x: number[], y: number[] }}
 */
export function thinned(x, y, { low, high }, columns) {
  const begin = Math.max(placeOf(x, low) - 1, 0), end = Math.min(placeOf(x, high) + 1, x.length); // one beyond each edge
  /** @type {number[]} */
  const places = [];
  const size = Math.max(Math.ceil((end - begin) / columns), 1);
  if (size <= 4) for (let place = begin; place < end; place += 1) places.push(place);
  else {
    for (let start = begin; start < end; start += size) {
      const stop = Math.min(start + size, end);
      let least = start, most = start;
      for (let place = start; place < stop; place += 1) {
        if (y[place] < y[least] || Number.isNaN(y[least])) least = place;
        if (y[place] > y[most] || Number.isNaN(y[most])) most = place;
      }
      const four = [start, Math.min(least, most), Math.max(least, most), stop - 1];
      for (const place of four) if (places[places.length - 1] !== place) places.push(place);
    }
  }
  return { x: places.map((place) => x[place]), y: places.map((place) => y[place]) };
}

/**
 * An exponential moving average, corrected for its start; 0 leaves a curve as it is. What is not finite stays.
 * @param {Numbers} y
 * @param {number} weight from 0 to 1
 * @returns {Numbers}
 */
export function smoothed(y, weight) {
  if (!(weight > 0)) return y;
  let sum = 0, share = 0;
  return Float64Array.from(y, (value) => {
    if (!Number.isFinite(value)) return value;
    sum = weight * sum + (1 - weight) * value;
    share = weight * share + (1 - weight);
    return sum / share;
  });
}

/**
 * The `d` of a path through points; a value that is not finite is a gap, and a point between gaps a dot.
 * @param {Numbers} x
 * @param {Numbers} y
 */
export function pathOf(x, y) {
  let text = "", pen = false;
  for (let place = 0; place < x.length; place += 1) {
    if (!Number.isFinite(y[place])) {
      pen = false;
      continue;
    }
    const alone = !pen && !(place + 1 < x.length && Number.isFinite(y[place + 1]));
    text += `${pen ? "L" : "M"}${x[place].toFixed(1)},${y[place].toFixed(1)}${alone ? "h0.01" : ""}`;
    pen = true;
  }
  return text;
}
