// Dark or light as Airflow's UI is: it keeps "light", "dark" or "system" in localStorage under "theme".

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function chosen() {
  let kept = null;
  try {
    kept = localStorage.getItem("theme");
  } catch {
    // Storage may be forbidden: then the system's choice counts.
  }
  return kept === "dark" || kept === "light" ? kept : dark.matches ? "dark" : "light";
}

export function isDark() {
  return document.documentElement.dataset.theme === "dark";
}

export function followTheme(changed) {
  const apply = () => {
    const now = chosen();
    if (document.documentElement.dataset.theme === now) return;
    document.documentElement.dataset.theme = now;
    changed();
  };
  apply();
  dark.addEventListener("change", apply);
  window.addEventListener("storage", apply);
}
