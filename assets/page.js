/* The page's only script: names for uploads and curves, what is being typed, whose browser it is,
   keys of the Review tab, and leaving a text field with Escape. Keys press buttons that are there
   to be clicked anyway. */
(() => {
  // What is in the page as text; innerText would lay the page out anew each time.
  const words_of = (element) => (element?.textContent || "").trim().replace(/\s+/g, " ");
  // Gradio names every upload button alike; ours say what is wanted. The words in sight stay part
  // of the name, so that speech control finds them.
  const name_uploads = () => {
    for (const button of document.querySelectorAll("button.upload-container:not([data-named])")) {
      const label = button.closest(".block")?.querySelector("label, [data-testid=block-label]");
      if (!label || !words_of(button)) continue;
      button.setAttribute("aria-label", `${words_of(label)}: ${words_of(button)}`);
      button.dataset.named = "yes";
    }
  };
  // A live curve is one picture with a name; its marks are drawing, not text to read out.
  const name_curves = () => {
    for (const svg of document.querySelectorAll(".vega-embed svg:not([role=img])")) {
      const label = svg.closest(".block")?.querySelector("[data-testid=block-info], label, h4, span");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", words_of(label) || "Curve");
      for (const part of svg.children) part.setAttribute("aria-hidden", "true");
    }
  };
  let asked = 0;  // one look for all changes between two pictures
  const name_all = () => { asked = 0; name_uploads(); name_curves(); tell(); };
  const changed = () => { asked ||= setTimeout(name_all, 50); };
  new MutationObserver(changed).observe(document.documentElement, { childList: true, subtree: true });
  // A form is drawn anew when a kit has been read; what was typed meanwhile stays, and is saved by
  // leaving its field, once more if it was left before the kit arrived.
  const typed = new Map();
  document.addEventListener("input", (event) => {
    if (!event.isTrusted) return;
    for (let part = event.target; part; part = part.parentElement) if (part.id) typed.set(part.id, [Date.now(), event.target]);
  }, true);
  // Leaving a field saves it: one in which nothing was typed since the page opened is not sent.
  const changed_fields = new Set(), name_of = (field) => field.closest("[id]")?.id;
  document.addEventListener("input", (event) => changed_fields.add(name_of(event.target)), true);
  const fields = "textarea[data-testid=textbox], input[data-testid=textbox], input[type=number]";
  document.addEventListener("blur", (event) => {
    const field = event.target;
    if (event.isTrusted && field.matches?.(fields) && !changed_fields.has(name_of(field))) event.stopImmediatePropagation();
  }, true);
  window.workbench_typed = () => [...typed].filter(([, [at]]) => Date.now() - at < 3000).map(([id, [, field]]) => {
    if (field !== document.activeElement) setTimeout(() => field.dispatchEvent(new FocusEvent("blur")), 300);
    return id;
  });
  // On a server that strangers share, a random number of this browser's own tells whose a run is.
  // Where nothing may be stored, it lasts as long as the page.
  let owner = "";
  window.workbench_owner = () => {
    try { owner = localStorage.getItem("workbench-owner") || owner; } catch { /* not allowed */ }
    if (!owner) owner = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    try { localStorage.setItem("workbench-owner", owner); } catch { /* not allowed */ }
    return owner;
  };
  // The address carries the run and the tab, so that a reload shows the same and Back goes back.
  // A page that is opening selects its first tab; that is no move of a person's.
  const first_tab = window.workbench_tabs[0];
  const part = (name) => new URL(window.location).searchParams.get(name) || "";
  window.workbench_run = () => part("run");
  window.workbench_tab = () => (window.workbench_tabs.includes(part("tab")) ? part("tab") : first_tab);
  let arrived = false, shown_run = part("run");
  // What is in sight: the tab, and closed parts once they have been opened.
  const parts_opened = new Set();
  window.workbench_in_sight = () => [window.workbench_tab(), ...parts_opened].join(" ");
  window.workbench_at = (name) => {
    if (!window.workbench_tabs.includes(name)) parts_opened.add(name);
    else if (arrived || name === window.workbench_tab()) {
      arrived = true;
      go({ tab: name === first_tab ? "" : name });
    }
    return window.workbench_in_sight();
  };
  // Another run is opened on the first tab: one step back leads to where it was opened.
  window.workbench_open = (run) => { if ((run || arrived) && run !== part("run")) go({ run, tab: "" }); };
  const go = (parts) => {
    const address = new URL(window.location);
    for (const [name, value] of Object.entries(parts)) {
      if (value) address.searchParams.set(name, value); else address.searchParams.delete(name);
    }
    if (address.href !== window.location.href) window.history.pushState(null, "", address);
    shown_run = part("run");
  };
  window.addEventListener("popstate", () => {
    const button = document.getElementById(`tab-${window.workbench_tab()}-button`);
    if (part("run") !== shown_run || !button) window.location.reload(); else button.click();
  });
  const own_name = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  window.workbench_page = () => own_name;
  // Every request to this server says whose it is; a header, because cookies are shut out where the
  // page is shown inside of another site's.
  const ask = window.fetch;
  window.fetch = (target, options) => {
    const address = new URL(target instanceof Request ? target.url : target, location.href);
    if (address.origin !== location.origin) return ask(target, options);
    const headers = new Headers(options?.headers ?? (target instanceof Request ? target.headers : undefined));
    headers.set("X-Workbench-Owner", window.workbench_owner());
    const light = address.pathname.endsWith("/run/predict");
    return (light ? until_answered : ask)(target, { ...options, headers });
  };
  // News and drawings change nothing, and nobody else asks for them: a lost one is asked for again.
  // A server that is gone for longer is waited for by Gradio, which loads the page anew then.
  const until_answered = async (target, options) => {
    for (let tries = 1; ; tries++) {
      try {
        const answer = await ask(target, options);
        if (![429, 502, 503, 504].includes(answer.status)) return answer;
      } catch (error) {
        if (tries > 3) throw error;
      }
      await new Promise((done) => setTimeout(done, Math.min(500 * 2 ** tries, 10000)));
    }
  };
  // The title tells how the run stands, and a notification that it has ended, where it is allowed.
  // Hidden pages are not told by themselves: they ask every ten seconds while the run is at work.
  const ends = { finished: "✓ Finished", failed: "✕ Failed", "ready for review": "● Review", interrupted: "✕ Interrupted", stopped: "■ Stopped" };
  let state = "", own_title = "";
  const tell = () => {
    const strip = document.querySelector(".strip");
    if (!strip || strip.dataset.state === state) return;
    own_title ||= document.title;
    const former = state, name = strip.querySelector(".strip-name")?.textContent || "";
    state = strip.dataset.state;
    const working = state === "running" || state === "queued";
    document.title = working ? `… ${name}` : ends[state] ? `${ends[state]} · ${name}` : own_title;
    const worked = former === "running" || former === "queued";
    if (worked && ends[state] && window.Notification?.permission === "granted") new Notification(ends[state], { body: name });
  };
  setInterval(() => {
    if (document.hidden && (state === "running" || state === "queued")) document.getElementById("look-again")?.click();
  }, 9000);
  // What a person does is done in order. A button that is pressed before the server has answered the
  // action before (a value saved, a row chosen, another button) waits for the answer and says so, or
  // it would act on what was there before. Not for ever, and not after a failure: an answer can be
  // lost with the network, and the person must look again. A second press of the same button is one
  // too many, but for those that go through samples.
  const buttons = { j: "review-next", k: "review-previous", a: "review-accept", r: "review-reject", u: "review-undo" };
  const repeated = new Set(Object.values(buttons));
  let unanswered = 0, held = [], pressed = null, patience = 0, next = 0;
  const busy = (button, is) => (is ? button.setAttribute("aria-busy", "true") : button.removeAttribute("aria-busy"));
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button");
    // Tabs, closed parts and the choice of a file change nothing on the server.
    const acts = button?.matches(".sm, .md, .lg") && button.previousElementSibling?.type !== "file";
    if (!acts) return;
    if (!unanswered) { pressed = button; setTimeout(() => { pressed = null; }, 300); return; }
    event.stopPropagation();
    if (button.ariaBusy && !repeated.has(button.id)) return;
    held.push(button);
    busy(button, true);
  }, true);
  const rest = () => {
    for (const button of document.querySelectorAll("button[aria-busy]")) busy(button, held.includes(button));
  };
  const forget = () => { unanswered = 0; held = []; rest(); };
  window.workbench_begun = (given) => {
    if (pressed) busy(pressed, true);
    unanswered += 1;
    clearTimeout(patience);
    patience = setTimeout(forget, 20000);
    return given;
  };
  // A moment later: a value that was changed again meanwhile is saved again first.
  const go_on = () => {
    if (unanswered) return;
    const button = held.shift();
    rest();
    if (!button) return;
    button.click();
    clearTimeout(next);
    next = setTimeout(go_on, 50);
  };
  window.workbench_answered = () => {
    unanswered = Math.max(0, unanswered - 1);
    if (unanswered) return;
    clearTimeout(next);
    next = setTimeout(go_on, 0);
  };
  window.workbench_lost = forget;
  // A file goes to the run that it was chosen for, whichever is open when it has arrived.
  const chosen_for = new Map();
  const choose_file = (event) => {
    const target = event.target;
    const place = target.nextElementSibling?.matches("button[id]") ? target.nextElementSibling : target.closest?.(".block[id]");
    if (place && (event.type === "drop" || target.type === "file")) chosen_for.set(place.id, window.workbench_run());
  };
  document.addEventListener("change", choose_file, true);
  document.addEventListener("drop", choose_file, true);
  window.workbench_uploaded = (place, run) => chosen_for.get(place) || run;
  // What is waited for has a clock: a sign of life where the server can say nothing yet.
  setInterval(() => {
    for (const clock of document.querySelectorAll("[data-clock]")) {
      clock.dataset.since ||= Date.now();
      const seconds = Math.round((Date.now() - clock.dataset.since) / 1000);
      clock.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
    }
  }, 1000);
  // The verdict as one picture, drawn from what the page shows; twice as fine as it is large.
  window.workbench_report = () => {
    const done = document.getElementById("done"), width = 1000, left = 40, inner = width - 2 * left;
    const name = words_of(document.querySelector(".strip-name"));
    const bars = [...done.querySelectorAll(".bars tbody tr")].map((row) => ({
      name: words_of(row.querySelector("th")), value: words_of(row.lastElementChild),
      share: parseFloat(row.querySelector("i").style.width) / 100, strong: row.classList.contains("strong"),
    }));
    const facts = [...document.querySelectorAll("#made-with dt")].map((term) => [words_of(term), words_of(term.nextElementSibling)]);
    const notes = ["weakest", "aimed-at"].map((id) => words_of(document.getElementById(id))).filter(Boolean);
    const sheet = document.createElement("canvas"), pen = sheet.getContext("2d");
    const face = getComputedStyle(document.body).fontFamily;
    let y = 0;
    const write = (text, size, { x = left, room = inner, weight = 400, ink = "#1f211e", step = 1.45 } = {}) => {
      pen.font = `${weight} ${size}px ${face}`;
      pen.fillStyle = ink;
      let line = "";
      for (const word of text.split(" ")) {
        if (line && pen.measureText(`${line} ${word}`).width > room) { y += size * step; pen.fillText(line, x, y); line = word; }
        else line = line ? `${line} ${word}` : word;
      }
      y += size * step;
      pen.fillText(line, x, y, room);
    };
    // Twice: once to learn how high it becomes.
    const draw = () => {
      pen.setTransform(2, 0, 0, 2, 0, 0);
      pen.fillStyle = "#ffffff";
      pen.fillRect(0, 0, width, sheet.height);
      y = 26;
      write(name, 26, { weight: 600 });
      y += 6;
      write(words_of(done.querySelector(".verdict")), 19);
      y += 20;
      write(words_of(done.querySelector(".bars caption")), 14, { ink: "#5c605a" });
      for (const bar of bars) {
        y += 10;
        const top = y;
        write(bar.name, 15, { room: 290, weight: bar.strong ? 600 : 400 });
        pen.fillStyle = "#f0f0ec";
        pen.fillRect(left + 300, top + 5, 420, 18);
        pen.fillStyle = bar.strong ? "#2c817e" : "#b3701f";
        pen.fillRect(left + 300, top + 5, Math.max(2, 420 * bar.share), 18);
        y = top;
        write(bar.value, 15, { x: left + 735, room: 185, weight: bar.strong ? 600 : 400 });
      }
      y += 16;
      for (const note of notes) write(note, 15);
      y += 10;
      for (const [term, value] of facts) {
        const top = y;
        write(term, 14, { room: 110, ink: "#5c605a" });
        y = top;
        write(value, 14, { x: left + 120, room: inner - 120 });
      }
      y += 14;
      write(`${document.querySelector("#masthead h1").textContent} · ${new Date().toISOString().slice(0, 10)}`, 13, { ink: "#5c605a" });
      y += 24;
    };
    sheet.width = 2 * width;
    sheet.height = 8000;
    draw();
    sheet.height = 2 * Math.ceil(y);
    draw();
    sheet.toBlob((blob) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${name.replace(/[^\p{L}\p{N}]+/gu, "-") || "report"}.png`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    });
  };
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
