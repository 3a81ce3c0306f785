use std::ops::RangeInclusive;

/// The parameters of a query by name, in the order of `known`. One that is not known or given twice is an error: a
/// misspelt parameter must not do something else.
///
/// # Errors
///
/// A text that quotes the parameter and says what would be right.
pub fn parameters<const N: usize>(
    pairs: Vec<(String, String)>,
    known: [&'static str; N],
) -> Result<[Option<String>; N], String> {
    let mut values = [const { None }; N];
    fill(pairs, &known, &mut values)?;
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

/// A parameter that is a whole number.
///
/// # Errors
///
/// A text that quotes the value and says what would be right.
pub fn whole(key: &str, value: &str, range: RangeInclusive<u32>) -> Result<u32, String> {
    value.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
        format!("`{key}` is `{value}`: expected a whole number from {} to {}", range.start(), range.end())
    })
}
