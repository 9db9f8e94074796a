"""What a page is asked for its looks: scripts that answer inside of it."""

PAGES = ("/", "/playground", "/chat", "/limits", "/status", "/faq", "/sign-in", "/account", "/docs")
MOST_BYTES = 150 * 1024

# What the page and all it loads weigh unpacked, without the answers to its calls.
WEIGHT = """
() => ['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))
  .filter((each) => each.initiatorType !== 'fetch')
  .reduce((sum, each) => sum + each.decodedBodySize, 0)
"""
NAMELESS = """
() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a')]
  .filter((each) => !(each.labels?.length || each.ariaLabel || each.textContent.trim()))
  .map((each) => each.outerHTML)
"""
# WCAG 2: every text against what is behind it, which a canvas turns into plain numbers.
PALE = """
() => {
  const context = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const over = (colours) => {
    context.clearRect(0, 0, 1, 1);
    for (const each of colours) { context.fillStyle = each; context.fillRect(0, 0, 1, 1); }
    return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((each) => each / 255)
    .map((each) => each <= .04045 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4)
    .reduce((sum, each, index) => sum + each * [.2126, .7152, .0722][index], 0);
  const behind = (each) => {
    const found = [];
    for (let at = each; at; at = at.parentElement) {
      found.unshift(getComputedStyle(at).backgroundColor);
    }
    return found;
  };
  const pale = [];
  for (const each of document.querySelectorAll('body *')) {
    const texts = [...each.childNodes].filter((node) => node.nodeType === 3);
    const own = texts.some((node) => node.textContent.trim());
    if (!own || !each.checkVisibility()) continue;
    if (each.closest('svg, script, :disabled, .unseen')) continue;
    const style = getComputedStyle(each), ground = behind(each);
    const [a, b] = [light(over([...ground, style.color])), light(over(ground))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) pale.push(`${ratio.toFixed(2)} ${each.textContent.trim()}`);
  }
  return pale;
}
"""
