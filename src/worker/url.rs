//! The request's URL, read by the runtime's own parser: the crate `url` would be 12 kB of the Worker.

use super::message::Request;
use std::ops::RangeInclusive;

use wasm_bindgen::JsCast as _;
use web_sys::Url;

/// The host's name, such as `localhost` or `[::1]`.
pub(super) fn hostname(request: &Request) -> Option<String> {
    Url::new(request.url()).ok().map(|url| url.hostname())
}

/// The parameters of the query, decoded, in order.
pub(super) fn query(request: &Request) -> Vec<(String, String)> {
    let Ok(url) = Url::new(request.url()) else { return Vec::new() };
    let Ok(Some(pairs)) = js_sys::try_iter(&url.search_params()) else { return Vec::new() };
    let text = |pair: &js_sys::Array, at| pair.get(at).as_string();
    pairs
        .filter_map(|pair| {
            let pair = pair.ok()?.dyn_into::<js_sys::Array>().ok()?;
            Some((text(&pair, 0)?, text(&pair, 1)?))
        })
        .collect()
}

/// A parameter that is a whole number.
pub(super) fn whole(key: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("`{key}` is `{value}`: expected a whole number from {} to {}", range.start(), range.end())
    })
}

/// The parameters of the query by name, in the order of `known`. One that is not known or given twice is an error: a
/// misspelt parameter must not do something else.
pub(super) fn parameters<const N: usize>(
    request: &Request,
    known: [&'static str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    fill(query(request), &known, &mut values)?;
    Ok(values)
}

fn fill(pairs: Vec<(String, String)>, known: &[&str], values: &mut [Option<String>]) -> Result<(), String> {
    for (key, value) in pairs {
        let slot = known.iter().position(|known| *known == key).and_then(|at| values.get_mut(at));
        let Some(slot) = slot else {
            let known: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
            let expected = if known.is_empty() { String::from("none") } else { known.join(", ") };
            return Err(format!("unknown parameter `{key}`: expected {expected}"));
        };
        if slot.replace(value).is_some() {
            return Err(format!("`{key}` is given twice: give it once"));
        }
    }
    Ok(())
}

/// A part of a path, decoded; as it is if it can't be.
pub(super) fn decode(part: &str) -> String {
    js_sys::decode_uri_component(part).map_or_else(|_| part.to_owned(), String::from)
}
