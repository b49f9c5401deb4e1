// What a person types to find trials: words, and comparisons of a parameter or metric (``batch_size >= 128``).

const COMPARISON = /(\S+?)\s*(<=|>=|=|<|>)\s*(\S+)/g;
const HOLDS = {
  "=": (a, b) => a === b,
  "<": (a, b) => a < b,
  ">": (a, b) => a > b,
  "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b,
};

// ``wordsOf``: all that can be found of a row, in lower case. ``valuesOf``: [name, value] of its parameters and
// metrics. Returns whether a row has everything that was typed.
export function filterOf(typed, wordsOf, valuesOf) {
  const comparisons = [...typed.matchAll(COMPARISON)].map(([, name, operator, wanted]) => compares(name.toLowerCase(), operator, wanted, valuesOf));
  const words = typed.replace(COMPARISON, " ").toLowerCase().trim();
  return (row) => comparisons.every((holds) => holds(row)) && (!words || wordsOf(row).includes(words));
}

// A name may be the end of a parameter's path. Numbers are compared as numbers, everything else as it is shown.
function compares(name, operator, wanted, valuesOf) {
  const number = Number(wanted);
  return (row) =>
    valuesOf(row).some(([key, value]) => {
      if (!named(key.toLowerCase(), name) || value === null || value === undefined) return false;
      if (typeof value === "number" && !Number.isNaN(number)) return HOLDS[operator](value, number);
      const shown = typeof value === "string" ? value : JSON.stringify(value);
      return operator === "=" && shown.toLowerCase() === wanted.toLowerCase();
    });
}

const named = (key, name) => key === name || (key.endsWith(name) && !/\w/.test(key.at(-name.length - 1)));
