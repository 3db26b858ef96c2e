// Walks the page in document order and returns {raw, nodes, starts}: records as one string (see raw.py), the element behind each control,
// and for each the number of controls before its own document. Reads only: nothing in the page is changed.
(config) => {
  const skip = new Set(config.skip), blocks = new Set(config.block), pres = new Set(config.pre), regions = new Set(config.region);
  const voids = new Set(config.void), roles = new Set(config.roles), opens = new Set(config.opens), closes = new Set(config.closes);
  const out = [], nodes = [], starts = [], forms = new Map();
  let left = config.nodes, cut = false;
  const clean = (text) => String(text ?? "").slice(0, config.text).replace(/[\x1c-\x1f]/g, " ");
  const put = (...fields) => out.push(fields.map(clean).join("\x1f"));
  const attr = (el, name) => el.getAttribute(name) ?? "";
  const lower = (text) => text.trim().toLowerCase();

  const hidden = (el, tag, style) => {
    if (el.hasAttribute("hidden") || style.display === "none") return true;
    const choice = tag === "input" && (el.type === "checkbox" || el.type === "radio");
    if (choice) return false; // often drawn by its label, the box itself transparent or tiny
    if (style.opacity === "0") return true;
    if (tag === "body") return false; // its overflow is the window's
    const flat = style.overflow !== "visible" && style.display !== "inline" && style.display !== "contents";
    const placed = style.position === "absolute" || style.position === "fixed";
    if (flat || placed || voids.has(tag)) {
      const box = el.getBoundingClientRect();
      const view = el.ownerDocument.defaultView;
      if ((flat || voids.has(tag)) && (box.width === 0 || box.height === 0)) return true;
      if (placed && (box.right + view.scrollX <= 0 || box.bottom + view.scrollY <= 0)) return true;
    }
    return false;
  };

  const spoken = (el) => {
    const ids = attr(el, "aria-labelledby").trim();
    if (!ids) return attr(el, "aria-label");
    const root = el.getRootNode();
    return ids.split(/\s+/).map((id) => root.getElementById?.(id)?.textContent ?? "").join(" ");
  };

  const options = (el) => {
    const found = [];
    Array.from(el.options).forEach((option, index) => {
      const off = option.disabled || option.hidden || option.parentElement?.disabled;
      if (off && !option.selected) return;
      found.push(index + (option.selected ? "*" : ":") + clean(option.label || option.text));
    });
    return found.slice(0, 1000).join("\x1d");
  };

  const control = (el, tag) => {
    const role = lower(attr(el, "role")).split(/\s+/)[0];
    const editable = ["", "true", "plaintext-only"].includes(el.getAttribute("contenteditable")?.toLowerCase());
    const clicks = el.hasAttribute("onclick");
    const link = tag === "a" && el.hasAttribute("href");
    const native = tag === "button" || voids.has(tag) || (tag === "summary" && el.parentElement?.localName === "details");
    if (!(link || native || editable || clicks || roles.has(role))) return false;
    let type = tag === "input" || tag === "button" ? lower(attr(el, "type")) : "";
    if (tag === "button" && type !== "button" && type !== "reset") type = "submit";
    if (tag === "input" && !type) type = "text";
    if (type === "hidden" || type === "file") return false;
    if (nodes.length >= config.controls) { cut = true; return false; }
    const form = native && tag !== "summary" ? el.form : el.closest("form");
    const submits = type === "submit" || type === "image";
    let method = "", action = "", number = "";
    if (form) {
      if (!forms.has(form)) forms.set(form, forms.size + 1);
      number = forms.get(form);
      method = lower((submits && attr(el, "formmethod")) || attr(form, "method"));
      if (method !== "post" && method !== "dialog") method = "get";
      action = (submits && attr(el, "formaction")) || attr(form, "action");
    }
    const choice = type === "checkbox" || type === "radio";
    const box = tag === "textarea" || (tag === "input" && !choice && !submits && type !== "button" && type !== "reset");
    const checked = choice ? el.checked : attr(el, "aria-checked") === "true";
    const disabled = el.matches(":disabled") || attr(el, "aria-disabled") === "true" || (box && el.readOnly);
    const sending = config.sending.some((name) => el.hasAttribute(name));
    const flag = (value) => (value ? "1" : "");
    // One field is joined by \x1d, so it must not go through clean.
    out.push([
      "control", tag, type, role, attr(el, "id"), attr(el, "name"), spoken(el), attr(el, "placeholder"), attr(el, "title"), attr(el, "alt"),
      box ? el.value : attr(el, "value"), link ? attr(el, "href") : "", flag(checked), flag(disabled), flag(editable), flag(sending),
      flag(attr(el, "onchange").includes("submit")), method, action, number,
    ].map(clean).join("\x1f") + "\x1f" + (tag === "select" ? options(el) : ""));
    nodes.push(el);
    return true;
  };

  // The stack holds records to write (strings) and nodes with what they take from their parent.
  const stack = [];
  const document_ = (doc, base) => {
    put("doc", doc.URL, base, doc.title);
    stack.push("/doc");
    if (doc.body) stack.push([doc.body, { pre: "", start: nodes.length }]);
  };
  const children = (el) => {
    if (el.shadowRoot) return el.shadowRoot.childNodes;
    if (el.localName === "details" && !el.open) return Array.from(el.children).filter((c) => c.localName === "summary").slice(0, 1);
    if (el.localName === "slot" && el.getRootNode().host) {
      const assigned = el.assignedNodes({ flatten: true });
      if (assigned.length) return assigned;
    }
    return el.childNodes;
  };

  const text = (node, above) => {
    const parent = node.parentElement ?? node.getRootNode().host;
    const style = parent && node.ownerDocument.defaultView?.getComputedStyle(parent);
    if (style && (style.visibility !== "visible" || style.fontSize === "0px")) return;
    put("text", node.data, above.pre);
  };

  const element = (el, above) => {
    const tag = el.localName;
    if (skip.has(tag)) return;
    const style = el.ownerDocument.defaultView?.getComputedStyle(el);
    if (!style || hidden(el, tag, style)) return;
    const block = blocks.has(tag);
    const soft = !block && !opens.has(tag) && !closes.has(tag) && style.display !== "inline" && style.display !== "contents";
    const close = [];
    const open = (name, ...fields) => { put(name, ...fields); close.push("/" + name); };
    if (block) { put("block"); close.push("block"); }
    if (opens.has(tag)) put("block");
    if (closes.has(tag)) { put("text", " ", ""); close.push("block"); }
    if (soft) { put("soft"); close.push("soft"); }
    if (regions.has(tag)) open("region");
    if (tag === "table") open("table");
    if (tag === "tr") open("row");
    if (tag === "td" || tag === "th") open("cell", tag === "th" ? "1" : "", attr(el, "colspan"), attr(el, "rowspan"));
    if (tag === "label") open("label", attr(el, "for"));
    const seen = style.visibility === "visible";
    const used = seen && control(el, tag);
    if (used) starts.push(above.start);
    if (used && !voids.has(tag)) close.push("/control");
    let inner = [];
    if (tag === "svg" || tag === "img") {
      const words = tag === "img" ? attr(el, "alt") : attr(el, "aria-label") || (el.querySelector(":scope > title")?.textContent ?? "");
      if (seen) words.trim() ? put("text", words, "") : put("media");
    } else if (tag === "iframe" || tag === "frame") {
      let doc = null;
      try { doc = el.contentDocument; } catch { doc = null; }
      if (doc && seen) {
        stack.push(...close);
        document_(doc, doc.baseURI);
        return;
      }
    } else if (!voids.has(tag)) {
      if (el.shadowRoot) open("scope");
      inner = children(el);
    }
    stack.push(...close);
    const below = pres.has(tag) ? { ...above, pre: "1" } : above;
    for (let i = inner.length - 1; i >= 0; i--) stack.push([inner[i], below]);
  };

  document_(document, document.baseURI);
  while (stack.length) {
    const item = stack.pop();
    if (typeof item === "string") { out.push(item); continue; }
    if (--left < 0) continue; // closing records still follow
    const [node, above] = item;
    if (node.nodeType === 3) text(node, above);
    else if (node.nodeType === 1) element(node, above);
  }
  return { raw: out.join("\x1e"), nodes, starts, cut: cut || left < 0 };
}
