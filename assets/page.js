/* The page's only script: keys of the Review tab, and leaving a text field with Escape.
   It presses buttons that are there to be clicked anyway; nothing works by key alone. */
(() => {
  const buttons = { j: "review-next", k: "review-previous", a: "review-accept", r: "review-reject", u: "review-undo" };
  const typing = "input, textarea, select, [contenteditable=true], [role=combobox], [role=listbox]";
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const panel = document.getElementById("review-panel");
    if (!panel || panel.offsetParent === null) return;
    const field = event.target.closest?.(typing);
    if (field) {
      if (event.key === "Escape" && panel.contains(field)) field.blur();
      return;
    }
    if (event.key === "e") {
      const input = document.querySelector("#review-input textarea");
      if (input) { input.focus(); event.preventDefault(); }
      return;
    }
    const button = document.getElementById(buttons[event.key]);
    if (button && !button.disabled) { button.click(); event.preventDefault(); }
  });
})();
