use std::ops::Range;

use chrono::DateTime;
use maud::{DOCTYPE, Markup, html};

use super::done::Done;
use super::language::Language;
use crate::read::encoded;
use crate::rules::no_answer;

/// A page of users.
pub(super) fn layout(language: &Language, title: &str, script: bool, body: &Markup) -> String {
    document(language, title, &["/drafts.css"], script.then_some("/drafts.js"), body)
}

/// The pages of operators.
pub(super) fn dashboard_layout(title: &str, script: bool, body: &Markup) -> String {
    let english = Language::english();
    document(&english, title, &["/drafts.css", "/dashboard.css"], script.then_some("/dashboard.js"), body)
}

fn document(
    language: &Language,
    title: &str,
    styles: &[&str],
    script: Option<&str>,
    body: &Markup,
) -> String {
    html! {
        (DOCTYPE)
        html lang=(language.tag()) dir=[language.dir()] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href="data:,";
                @for style in styles { link rel="stylesheet" href=(style); }
                @if let Some(script) = script { script type="module" src=(script) {} }
            }
            body { (body) }
        }
    }
    .into_string()
}

/// `1,000 tokens`
pub fn tokens(count: u64) -> String {
    let digits = count.to_string();
    let grouped: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    format!("{} token{}", grouped.join(","), if count == 1 { "" } else { "s" })
}

/// An instant in UTC, to the second.
pub(super) fn rfc3339(millis: u64) -> String {
    i64::try_from(millis)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .map(|time| time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
        .unwrap_or_default()
}

/// A page with one message, an error or a refusal, and where to go from there: an address, and what the link says.
pub fn message_page(title: &str, said: &str, next: Option<(&str, &str)>) -> String {
    message(&Language::english(), title, &html! { p { (prose(said)) } }, next)
}

/// The same of a form that was refused, with the words that would be lost.
pub fn refused_page(title: &str, said: &str, typed: &str, next: Option<(&str, &str)>) -> String {
    let said = html! {
        p { (prose(said)) }
        @if !typed.is_empty() { h2 { "What you wrote" } p .typed dir="auto" { (typed) } }
    };
    message(&Language::english(), title, &said, next)
}

/// The page of an id that several users have: whose is it?
pub fn owners_page(id: &str, owners: &[&str]) -> String {
    let said = html! {
        p { "Several users have a creation with the id " code { (id) } ". Whose do you mean?" }
        ul { @for owner in owners { li { a href=(creation_address(id, Some(owner))) dir="auto" { (owner) } } } }
    };
    message(&Language::english(), "Whose creation?", &said, Some(("/dashboard", "Back to the dashboard")))
}

/// The same in the language of an owner.
pub fn owners_message_page(
    language: &Language,
    title: &str,
    said: &str,
    next: Option<(&str, &str)>,
) -> String {
    message(language, title, &html! { p { (said) } }, next)
}

fn message(language: &Language, title: &str, said: &Markup, next: Option<(&str, &str)>) -> String {
    let body = html! {
        main .message {
            h1 { (title) }
            (said)
            @if let Some((address, words)) = next { p { a .button href=(address) { (words) } } }
        }
    };
    layout(language, title, false, &body)
}

/// A number with its thousands apart.
pub(super) fn count(number: u64) -> String {
    tokens(number).split(' ').next().unwrap_or_default().to_owned()
}

/// An instant to the minute, in UTC.
pub fn minute(millis: u64) -> String {
    rfc3339(millis).get(..16).unwrap_or_default().replace('T', " ")
}

/// An instant to the second, in UTC.
pub(super) fn second(millis: u64) -> String {
    rfc3339(millis).get(..19).unwrap_or_default().replace('T', " ")
}

/// The date of an instant in UTC: `2026-01-05`.
pub(super) fn date(millis: u64) -> String {
    rfc3339(millis).get(..10).unwrap_or_default().to_owned()
}

/// The day of an instant in UTC, as an axis says it: `13 Nov`.
pub(super) fn day(millis: u64) -> String {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let date = rfc3339(millis);
    let number = |at: Range<usize>| date.get(at).and_then(|digits| digits.parse().ok()).unwrap_or(1_usize);
    let month = number(5..7).saturating_sub(1).saturating_mul(3);
    format!("{} {}", number(8..10), MONTHS.get(month..month.saturating_add(3)).unwrap_or_default())
}

/// The day of the week of an instant in UTC: `Mon`.
pub(super) fn weekday(millis: u64) -> String {
    // The epoch began on a Thursday.
    let names = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let day = usize::try_from(millis / 86_400_000 % 7).unwrap_or_default();
    names.get(day).copied().unwrap_or_default().to_owned()
}

/// A sentence, with what stands between two backticks as code. One without another stays.
pub(super) fn prose(text: &str) -> Markup {
    let last = text.matches('`').count();
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at.is_multiple_of(2) { (part) } @else if at == last { "`" (part) } @else { code { (part) } }
        }
    }
}

/// A creation's id, and the way to all about it.
pub(super) fn creation_link(id: &str) -> Markup {
    html! { a href=(creation_address(id, None)) { (id) } }
}

/// Where all about a creation is; with its owner, where several users have one with this id.
pub fn creation_address(id: &str, user_id: Option<&str>) -> String {
    let of = user_id.map_or(String::new(), |user_id| format!("?user_id={}", encoded(user_id)));
    format!("/dashboard/creations/{}{of}", encoded(id))
}

/// Where the creations are that are sought, as an address says it.
pub fn found_address(sought: &str) -> String {
    match sought {
        "" => String::from("/dashboard/creations#found"),
        sought => format!("/dashboard/creations?{sought}#found"),
    }
}

/// That a page is without what one of several databases has, and why.
pub(super) fn missing(shard: &str, error: &str) -> Markup {
    let (matter, more) = no_answer(error);
    html! {
        p .incomplete role="alert" { "The database " code { (shard) } " " (matter) ", so what it has is missing here: " (prose(more)) "." }
    }
}

/// A form of one button.
pub(super) fn form(action: &str, word: &str, csrf: &str, plan: Option<&str>) -> Markup {
    html! {
        form method="post" action={ "/dashboard/" (action) } {
            input type="hidden" name="csrf" value=(csrf);
            @if let Some(plan) = plan { input type="hidden" name="plan" value=(plan); }
            button .button type="submit" { (word) }
        }
    }
}

/// What has just been done, if something has. It has the focus, so that who can't see it hears it.
pub(super) fn notice(done: &Done) -> Markup {
    html! {
        @if let Some(done) = done.words() { p .notice role="status" tabindex="-1" autofocus { "Done: " (done) "." } }
    }
}

/// The fields of a form that gives more time.
pub(super) fn more_time_fields() -> Markup {
    html! {
        label { span { "Minutes from now" } input type="number" name="minutes" min="1" max="43200" inputmode="numeric"; }
        label { span { "or until (UTC)" } input type="datetime-local" name="until"; }
        label { span { "Why" } input type="text" name="reason" required maxlength="1000" autocomplete="off"; }
        button .button type="submit" { "Give it" }
    }
}
