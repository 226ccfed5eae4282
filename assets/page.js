/* The page's only script: names for uploads and curves, keys of the Review tab, and leaving a text
   field with Escape. Keys press buttons that are there to be clicked anyway. */
(() => {
  // Gradio names every upload button alike; ours say what is wanted. The words in sight stay part
  // of the name, so that speech control finds them.
  const name_uploads = () => {
    for (const button of document.querySelectorAll("button.upload-container:not([data-named])")) {
      const label = button.closest(".block")?.querySelector("label, [data-testid=block-label]");
      if (!label || !button.innerText.trim()) continue;
      button.setAttribute("aria-label", `${label.innerText.trim()}: ${button.innerText.replace(/\s+/g, " ").trim()}`);
      button.dataset.named = "yes";
    }
  };
  // A live curve is one picture with a name; its marks are drawing, not text to read out.
  const name_curves = () => {
    for (const svg of document.querySelectorAll(".vega-embed svg:not([role=img])")) {
      const label = svg.closest(".block")?.querySelector("[data-testid=block-info], label, h4, span");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", label?.innerText.trim() || "Curve");
      for (const part of svg.children) part.setAttribute("aria-hidden", "true");
    }
  };
  const name_all = () => { name_uploads(); name_curves(); };
  new MutationObserver(name_all).observe(document.documentElement, { childList: true, subtree: true });
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
