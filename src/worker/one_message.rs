//! The pages of an owner that say one thing, in the owner's language.

use axum::http::StatusCode;
use axum::response::Response;

use super::app::App;
use super::pages::{Language, owners_message_page};
use super::problem::{Problem, html};
use crate::texts::{self, Text};

/// A page with one message, and a link: an address, and what it says.
pub(super) fn message(
    language: &Language,
    status: StatusCode,
    title: &Text,
    message: &str,
    (address, words): (&str, &Text),
) -> Response {
    let (title, words) = (language.say(title), language.say(words));
    html(status, owners_message_page(language, &title, message, Some((address, &words))))
}

/// What a page is for whoever is not signed in.
pub(super) fn signed_out(app: &App, language: &Language, title: &Text, problem: &Problem) -> Response {
    let demo = app.demo && problem.status() == StatusCode::UNAUTHORIZED;
    let next = demo.then_some(("/demo", "Sign in as a demo user"));
    let said = language.say(&texts::SIGNED_OUT);
    html(problem.status(), owners_message_page(language, &language.say(title), &said, next))
}

/// What a page is for an address that can't be read, and the way back.
pub(super) fn no_such_page(language: &Language, back: &str, words: &Text) -> Response {
    let said = language.say(&texts::WRONG_ADDRESS);
    message(language, StatusCode::BAD_REQUEST, &texts::NO_SUCH_PAGE, &said, (back, words))
}
