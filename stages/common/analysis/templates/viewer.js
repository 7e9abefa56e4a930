"use strict";
// The viewer of films. Every element of the page with data-film has an h3 and, in data-layers, the address of a script
// that calls viewer.add with what stages/common/analysis/viewer.py describes; it is loaded when the film is opened,
// since a page without a server may load scripts and pictures, and read no other file. OpenSeadragon shows the film,
// zooms and pans; layers are drawn on a canvas above it, from the network's probabilities.
const viewer = (() => {
  const dialog = document.getElementById("viewer"), part = name => document.getElementById(`viewer-${name}`);
  const initial = {marks: true, label: true, probability: false, hidden: false, style: "fill", view: "", drag: "pan", threshold: null, centre: 127.5, width: 255};
  const state = {...initial}, records = new Map(), BOTH = "side by side";
  const colours = Object.fromEntries(["found", "marked", "missed", "labelled", "probable"].map(name =>
    [name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)]));
  const panes = [...dialog.querySelectorAll(".pane")].map(figure => ({figure, film: figure.querySelector(".film"),
    canvas: figure.querySelector(".layers"), caption: figure.querySelector("figcaption")}));
  let current = null, film = null; // what viewer.add was given of the film that is shown, and the film's name

  // What is shown.
  const items = () => [...document.querySelectorAll("[data-film]")].filter(item => !item.hidden);
  async function open(name) {
    const item = [...document.querySelectorAll("[data-film]")].find(one => one.dataset.film === name);
    if (!item) return;
    film = name;
    part("title").textContent = item.querySelector("h3").textContent;
    if (!dialog.open) dialog.showModal();
    for (const pane of panes) clear(pane.shown ? pane : Object.assign(pane, {shown: start(pane)}));
    say("");
    let record, missing = false;
    try { record = await layers(item); } catch { missing = true; }
    if (film !== name) return; // another one was asked for meanwhile
    if (missing) return say(`The files of this film are missing beside the page: ${item.dataset.layers}`);
    current = record;
    const names = record.models.map(model => model.name), views = names.length > 1 ? [BOTH, ...names] : names;
    dialog.querySelector("[data-set=view]").replaceChildren(...views.map(view => new Option(view, view)));
    if (!views.includes(state.view)) state.view = views[0];
    part("view").hidden = views.length < 2;
    part("label").hidden = !record.labelPixels;
    update();
    for (const pane of panes) pane.shown.open({type: "image", url: record.film, buildPyramid: false});
  }
  function clear(pane) { // no film stands under the name of another while its files are loaded, or are missing
    current = null;
    pane.shown.close();
    Object.assign(pane, {fills: null, outlines: null});
    pane.caption.textContent = "";
    draw(pane);
  }
  async function layers(item) {
    const name = item.dataset.film;
    if (!records.has(name)) await load(item.dataset.layers, name);
    const record = records.get(name);
    record.labelPixels ??= record.label && await pixels(record.label);
    for (const model of record.models) model.pixels ??= await pixels(model.probability);
    return record;
  }
  const load = (src, name) => new Promise((done, failed) => {
    const script = Object.assign(document.createElement("script"), {src, onload: done, onerror: failed});
    script.dataset.of = name;
    document.head.append(script);
  });
  async function pixels(address) {
    const image = Object.assign(new Image(), {src: address});
    await image.decode();
    const context = canvasOf(image.width, image.height).getContext("2d");
    context.drawImage(image, 0, 0);
    const {data, width, height} = context.getImageData(0, 0, image.width, image.height);
    const values = new Uint8ClampedArray(width * height);
    for (let index = 0; index < values.length; index++) values[index] = data[4 * index];
    return {width, height, values};
  }
  const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), {width, height});
  function say(problem) { part("problem").textContent = problem; part("problem").hidden = !problem; }

  // Panes: OpenSeadragon shows the film; what it does to one, the other follows.
  let leader = panes[0];
  function start(pane) {
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const shown = OpenSeadragon({element: pane.film, drawer: "canvas", showNavigationControl: false, keyboardNavEnabled: false,
      autoResize: false, maxZoomPixelRatio: 16, visibilityRatio: 0.2, animationTime: still ? 0 : 0.3, gestureSettingsMouse: {clickToZoom: false, dblClickToZoom: true}});
    shown.canvas.setAttribute("aria-label", "film");
    shown.canvas.setAttribute("role", "application");
    for (const event of ["canvas-press", "canvas-scroll", "canvas-pinch", "canvas-double-click"]) shown.addHandler(event, () => { leader = pane; });
    shown.addHandler("canvas-drag", event => {
      if (state.drag !== "window") return;
      event.preventDefaultAction = true;
      set({centre: state.centre + event.delta.y / 2, width: state.width + event.delta.x});
    });
    shown.addHandler("update-viewport", () => {
      draw(pane);
      if (pane === leader) for (const other of panes) if (other !== pane && other.shown && !other.figure.hidden) follow(other.shown.viewport, shown.viewport);
    });
    new ResizeObserver(() => { if (pane.film.clientWidth) resize(shown, pane.film); }).observe(pane.film);
    shown.addHandler("open-failed", () => say(`The film is missing beside the page: ${current.film}`));
    return shown;
  }
  function resize(shown, {clientWidth, clientHeight}) { // a film that is shown whole stays so, else its pixels keep their size
    const {viewport} = shown, whole = Math.abs(viewport.getZoom() / viewport.getHomeZoom() - 1) < 0.01;
    viewport.resize(new OpenSeadragon.Point(clientWidth, clientHeight), true);
    if (whole) viewport.goHome(true);
    shown.forceRedraw();
  }
  function follow(viewport, led) {
    const zoom = led.getZoom(true), centre = led.getCenter(true), mine = viewport.getCenter(true);
    if (viewport.getZoom(true) === zoom && mine.equals(centre)) return;
    viewport.zoomTo(zoom, null, true);
    viewport.panTo(centre, true);
  }

  // The window works on the picture's 8 bits, and on the film's grey levels once they are here: 12 bits, which a film of
  // more than 8 has in a script of its own, loaded when the window moves for the first time.
  const LEVELS = 4096;
  async function deepen(record, name) {
    record.asked = true;
    try { await load(record.levels, name); } catch { return say(`The grey levels of this film are missing beside the page: ${record.levels}`); }
    const {width, height, values} = await pixels(record.split), half = width / 2, grey = new Uint16Array(half * height);
    for (let y = 0, index = 0; y < height; y++) for (let x = 0; x < half; x++) grey[index++] = 16 * values[y * width + x] + values[y * width + half + x];
    Object.assign(record, {split: null, grey, windowed: canvasOf(half, height)});
    update();
  }
  function applyWindow({grey, windowed}) {
    const greys = Uint8ClampedArray.from({length: LEVELS}, (_, level) => 255 * (0.5 + (255 * level / (LEVELS - 1) - state.centre) / state.width));
    const colours = Uint32Array.from(greys, value => 0xff000000 | 0x10101 * value), image = new ImageData(windowed.width, windowed.height);
    const drawn = new Uint32Array(image.data.buffer);
    for (let index = 0; index < grey.length; index++) drawn[index] = colours[grey[index]];
    windowed.getContext("2d").putImageData(image, 0, 0);
  }

  // Layers.
  function update() {
    if (!current) return;
    const whole = state.centre === initial.centre && state.width === initial.width;
    dialog.style.setProperty("--window", whole ? "none" : "url(#window)");
    if (current.grey && !whole) applyWindow(current);
    else if (current.levels && !current.asked && !whole) deepen(current, film);
    current.deep = current.grey && !whole;
    for (const channel of dialog.querySelectorAll("filter feComponentTransfer > *")) {
      channel.setAttribute("slope", 255 / state.width);
      channel.setAttribute("intercept", 0.5 - state.centre / state.width);
    }
    const chosen = state.view === BOTH ? current.models : current.models.filter(model => model.name === state.view);
    panes.forEach((pane, number) => { pane.figure.hidden = number >= chosen.length; });
    if (leader.figure.hidden) leader = panes[0];
    chosen.forEach((model, number) => {
      const pane = panes[number];
      pane.model = model;
      paint(pane);
      draw(pane);
    });
    for (const control of dialog.querySelectorAll("[data-set]")) {
      const value = control.dataset.set === "threshold" ? cut(chosen[0]) : state[control.dataset.set];
      if (control.type === "checkbox") control.checked = value; else control.value = value;
      if (control.type === "range") control.nextSibling.textContent = control.value; // in the steps of the slider
    }
    const filled = filling() && state.label && current.labelPixels;
    const keys = {fill: filled, marked: state.marks && !filled, outline: state.label && current.labelPixels && !filled, probability: state.probability};
    for (const key of dialog.querySelectorAll("[data-when]")) key.hidden = state.hidden || !keys[key.dataset.when];
  }
  const filling = () => state.marks && state.style === "fill" && !state.probability; // two fills would mix their colours
  const cut = model => state.threshold ?? model.threshold;
  function paint(pane) {
    const {values, width, height} = pane.model.pixels, label = current.labelPixels && current.labelPixels.values, from = 255 * cut(pane.model);
    const marks = values.map(value => Number(value >= from)), labelled = label ? label.map(value => Number(value > 0)) : null;
    const both = state.label && labelled, filled = filling();
    pane.fills = [];
    if (state.probability) pane.fills.push(tinted(width, height, index => ["probable", 0.85 * values[index]], true));
    if (filled) pane.fills.push(tinted(width, height, index => {
      if (!both) return ["marked", 140 * marks[index]];
      return [marks[index] ? labelled[index] ? "found" : "marked" : "missed", marks[index] || labelled[index] ? 140 : 0];
    }, false));
    pane.outlines = [];
    if (state.marks && !filled) pane.outlines.push({colour: colours.marked, path: outline(marks, width, height)});
    if (both && !filled) pane.outlines.push({colour: colours.labelled, path: outline(labelled, width, height)});
    pane.caption.textContent = `${pane.model.name}, marked from ${Number(cut(pane.model).toFixed(3))}${labelled ? `: ${scores(marks, labelled)}` : ""}`;
  }
  function tinted(width, height, of, smooth) {
    const canvas = canvasOf(width, height), image = new ImageData(width, height);
    const numbers = Object.fromEntries(Object.entries(colours).map(([name, colour]) => [name, colour.match(/\d+/g).map(Number)]));
    for (let index = 0; index < width * height; index++) {
      const [name, alpha] = of(index);
      image.data.set([...numbers[name], alpha], 4 * index);
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
    return {canvas, smooth};
  }
  function outline(mask, width, height) { // along the edges of its pixels
    const path = new Path2D(), at = (x, y) => x >= 0 && y >= 0 && x < width && y < height ? mask[y * width + x] : 0;
    for (let y = 0; y <= height; y++) for (let x = 0; x <= width; x++) {
      if (at(x, y) !== at(x - 1, y)) { path.moveTo(x, y); path.lineTo(x, y + 1); }
      if (at(x, y) !== at(x, y - 1)) { path.moveTo(x, y); path.lineTo(x + 1, y); }
    }
    return path;
  }
  function scores(marks, label) {
    const counts = [0, 0, 0, 0]; // by 2 * marked + labelled
    marks.forEach((mark, index) => counts[2 * mark + label[index]]++);
    const [, missed, alarm, found] = counts, ratio = (a, b) => b ? (a / b).toFixed(3) : "–";
    const f1 = missed + alarm + found ? ratio(2 * found, 2 * found + alarm + missed) : "1.000";
    return `F1 ${f1}, precision ${ratio(found, found + alarm)}, recall ${ratio(found, found + missed)}`;
  }
  function draw({shown, canvas, film: box, fills, outlines}) {
    const item = shown.world.getItemAt(0), ratio = devicePixelRatio, context = canvas.getContext("2d");
    Object.assign(canvas.style, {width: `${box.clientWidth}px`, height: `${box.clientHeight}px`});
    Object.assign(canvas, {width: box.clientWidth * ratio, height: box.clientHeight * ratio}); // clears it
    if (!item || !fills) return;
    function placed([left, top, width, height], {width: columns, height: rows}) { // from pixels of a picture to those of the screen
      const from = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(left, top));
      const to = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(left + width, top + height));
      return new DOMMatrix([ratio * (to.x - from.x) / columns, 0, 0, ratio * (to.y - from.y) / rows, ratio * from.x, ratio * from.y]);
    }
    if (current.deep) {
      context.setTransform(placed([0, 0, current.windowed.width, current.windowed.height], current.windowed));
      context.drawImage(current.windowed, 0, 0);
    }
    if (state.hidden) return;
    const grid = placed(current.grid, current.models[0].pixels);
    context.setTransform(grid);
    for (const fill of fills) { context.imageSmoothingEnabled = fill.smooth; context.drawImage(fill.canvas, 0, 0); }
    context.resetTransform();
    context.lineWidth = 2 * ratio;
    for (const {path, colour} of outlines) {
      const onScreen = new Path2D();
      onScreen.addPath(path, grid);
      context.strokeStyle = colour;
      context.stroke(onScreen);
    }
  }

  // Controls: by mouse, and by keys, of which `?` shows the list.
  const RANGES = {threshold: [0, 1], centre: [0, 255], width: [1, 510]};
  function set(values) {
    for (const [name, value] of Object.entries(values)) {
      const [low, high] = RANGES[name] ?? [];
      state[name] = low === undefined ? value : Math.min(Math.max(Number(value), low), high);
    }
    update();
  }
  const flip = name => () => set({[name]: !state[name]});
  const next = control => () => {
    const values = [...dialog.querySelector(`[data-set=${control}]`).options].map(option => option.value);
    set({[control]: values[(values.indexOf(state[control]) + 1) % values.length]});
  };
  const zoom = factor => () => { leader.shown.viewport.zoomBy(factor); };
  const pan = (x, y) => () => { leader.shown.viewport.panBy(leader.shown.viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y))); };
  const raise = by => () => { if (current) set({threshold: cut(panes[0].model) + by}); };
  function step(by) {
    const shown = items().map(item => item.dataset.film), at = shown.indexOf(film);
    const name = shown[(at + by + shown.length) % shown.length];
    history.replaceState(null, "", address(name));
    open(name);
  }
  const ACTIONS = {
    next: ["ArrowRight", "next film", () => step(1)], previous: ["ArrowLeft", "previous film", () => step(-1)],
    in: ["+", "zoom in", zoom(1.4)], out: ["-", "zoom out", zoom(1 / 1.4)], fit: ["0", "whole film", () => leader.shown.viewport.goHome()],
    left: ["Shift+ArrowLeft", "move left", pan(-80, 0)], right: ["Shift+ArrowRight", "move right", pan(80, 0)], up: ["Shift+ArrowUp", "move up", pan(0, -80)], down: ["Shift+ArrowDown", "move down", pan(0, 80)],
    hide: ["h", "hide and show all layers", flip("hidden")], style: ["o", "outlines or filled", next("style")], view: ["v", "other model, or both", next("view")],
    marks: ["m", "marks", flip("marks")], label: ["l", "label", flip("label")], probability: ["p", "probability", flip("probability")],
    lower: ["[", "lower threshold", raise(-0.01)], higher: ["]", "higher threshold", raise(0.01)], drag: ["w", "drag moves the film or sets the window", next("drag")],
    reset: ["r", "threshold and window as at first", () => { Object.assign(state, {threshold: null, centre: initial.centre, width: initial.width}); update(); }],
    keys: ["?", "these keys", () => { part("keys").hidden = !part("keys").hidden; }], close: ["Escape", "back to the page", () => dialog.close()],
  };
  const printed = key => key.replace(/Arrow(\w+)/, (_, way) => ({Left: "←", Right: "→", Up: "↑", Down: "↓"})[way]); // as on it
  part("keys").append(...Object.values(ACTIONS).map(([key, text]) => {
    const row = document.createElement("div");
    row.append(document.createElement("dt"), Object.assign(document.createElement("dd"), {textContent: text}));
    row.firstChild.append(Object.assign(document.createElement("kbd"), {textContent: printed(key)}));
    return row;
  }));
  dialog.addEventListener("keydown", event => {
    const key = event.shiftKey && event.key.startsWith("Arrow") ? `Shift+${event.key}` : event.key;
    const own = event.target.matches("select") || (event.target.matches("[type=range]") && key.startsWith("Arrow")); // the control's
    const action = Object.values(ACTIONS).find(([name]) => name === key);
    if (!action || own || event.ctrlKey || event.metaKey || event.altKey || key === "Escape") return; // a dialog closes by itself
    event.preventDefault();
    action[2]();
  });
  dialog.addEventListener("click", event => { const button = event.target.closest("[data-do]"); if (button) ACTIONS[button.dataset.do][2](); });
  for (const type of ["input", "change"]) dialog.addEventListener(type, ({target}) => {
    if (target.dataset.set) set({[target.dataset.set]: target.type === "checkbox" ? target.checked : target.value});
  });

  // Addresses: #film=NAME opens a film.
  const address = name => `#film=${encodeURIComponent(name)}`;
  function go() {
    const name = location.hash.startsWith("#film=") ? decodeURIComponent(location.hash.slice(6)) : "";
    if (name) open(name); else if (dialog.open) dialog.close();
  }
  dialog.addEventListener("close", () => { film = null; if (location.hash.startsWith("#film=")) history.replaceState(null, "", location.href.split("#")[0]); });
  addEventListener("hashchange", go);
  addEventListener("DOMContentLoaded", go); // after the scripts that hold films
  function add(record, name) { // by a script in the page, or by one that was loaded for a film
    const script = document.currentScript, address = beside => script.src && beside ? new URL(beside, script.src).href : beside;
    records.set(name ?? script.dataset.of, {...record, film: address(record.film), levels: address(record.levels)});
  }
  function addLevels(split) { records.get(document.currentScript.dataset.of).split = split; } // by the script of a film's grey levels
  return {add, addLevels};
})();
