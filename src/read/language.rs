//! Which language somebody wants: the header `Accept-Language`.

/// The longest header that is looked at, in entries: browsers send a dozen at most.
const ENTRIES: usize = 50;

/// What a header asks for: a language tag or `*`, and how much it is wanted, in thousandths; 0 is never.
struct Wanted<'a> {
    range: &'a str,
    quality: u32,
}

/// The language of those on offer that an `Accept-Language` header asks for most; `None` if it names none of them.
///
/// A range that is not on offer is cut from its end (RFC 4647, "lookup"): `de-AT` takes `de`. One that is less than what is on offer
/// takes the first that begins with it: `pt` takes `pt-BR`. `*` takes the first on offer, and `;q=0` refuses.
///
/// ```
/// use stale_drafts::read::preferred_language;
///
/// let offered = ["en", "de", "ja"].map(String::from);
/// assert_eq!(preferred_language("fr, de-AT;q=0.8, ja;q=0.5", &offered), Some("de"));
/// assert_eq!(preferred_language("fr", &offered), None);
/// ```
pub fn preferred_language<'a>(header: &str, offered: &'a [String]) -> Option<&'a str> {
    let wanted: Vec<_> = header.split(',').take(ENTRIES).filter_map(entry).collect();
    let refused =
        |tag: &str| wanted.iter().any(|entry| entry.quality == 0 && entry.range.eq_ignore_ascii_case(tag));
    let allowed: Vec<_> = offered.iter().map(String::as_str).filter(|tag| !refused(tag)).collect();
    // Of equals, the first that is named.
    let mut best = (0, None);
    for entry in &wanted {
        if let Some(tag) = lookup(entry.range, &allowed).filter(|_| entry.quality > best.0) {
            best = (entry.quality, Some(tag));
        }
    }
    best.1
}

fn entry(text: &str) -> Option<Wanted<'_>> {
    let mut parts = text.split(';').map(str::trim);
    let range = parts.next().filter(|range| !range.is_empty())?;
    let quality = match parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q="))) {
        Some(number) => thousandths(number)?,
        None => 1_000,
    };
    Some(Wanted { range, quality })
}

/// `0.85` as 850: RFC 9110 allows three decimals, and nothing above 1. What is no such number is no entry.
fn thousandths(number: &str) -> Option<u32> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !digits {
        return None;
    }
    format!("{whole}{decimals:0<3}").parse().ok().filter(|quality| *quality <= 1_000)
}

fn lookup<'a>(range: &str, offered: &[&'a str]) -> Option<&'a str> {
    if range == "*" {
        return offered.first().copied();
    }
    let mut cut = Some(range);
    while let Some(range) = cut {
        if let Some(found) = offered.iter().find(|tag| tag.eq_ignore_ascii_case(range)) {
            return Some(found);
        }
        cut = range.rsplit_once('-').map(|(shorter, _)| shorter);
    }
    offered.iter().find(|tag| begins(tag, range)).copied()
}

/// Whether a tag is a range and more, such as `pt-BR` of `pt`.
fn begins(tag: &str, range: &str) -> bool {
    let start = tag.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range));
    start && tag.as_bytes().get(range.len()) == Some(&b'-')
}

/// Whether a text has the form of a language tag: `de`, `pt-BR`, `zh-Hant-TW`.
pub fn is_language_tag(text: &str) -> bool {
    let alphanumeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let mut parts = text.split('-');
    let language = parts.next().unwrap_or_default();
    matches!(language.len(), 2..=3)
        && language.bytes().all(|byte| byte.is_ascii_alphabetic())
        && parts.all(|part| matches!(part.len(), 1..=8) && alphanumeric(part))
}
