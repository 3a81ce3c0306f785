//! What strangers wrote, as it is shown: in the pages, in JSON and in the lines of the log.
//!
//! The input is a line each for the owner, the creation's id, its kind, its error and where its result is; whatever follows
//! is the prompt.

use serde_json::{Value, json};
use stale_drafts::read::Address;
use stale_drafts::rules::{Policy, Status};
use stale_drafts::service::sweep::{Rejected, Source, SweepOutcome};
use stale_drafts::store::{Row, page_rows};
use stale_drafts::worker::draft::{DraftView, DraftsView};
use stale_drafts::worker::explanation::Explanation;
use stale_drafts::worker::log;
use stale_drafts::worker::pages::{
    DemoUser, Done, Language, creation_page, demo_page, drafts_page, message_page, preview_page, refused_page,
};
use stale_drafts::worker::sweep_json::SweepJson;

use crate::{NOW_MS, as_text, now};

/// What strangers say of one creation.
struct Told {
    owner: String,
    id: String,
    kind: String,
    error: String,
    url: String,
    prompt: String,
}

impl Told {
    fn texts(&self) -> [&str; 6] {
        let Told { owner, id, kind, error, url, prompt } = self;
        [owner, id, kind, error, url, prompt].map(String::as_str)
    }

    /// The same with a mark in place of each text. What decides something still decides the same: whether the result is
    /// an address, which is shown as a link.
    fn marks(&self) -> Told {
        let mark = |at: u8| format!("\u{e000}{at}\u{e001}");
        let linked = Address::parse(&self.url).is_some();
        let url = if linked { format!("https://a.example/{}", mark(5)) } else { mark(6) };
        Told { owner: mark(1), id: mark(2), kind: mark(3), error: mark(4), url, prompt: mark(7) }
    }
}

/// Panics if a law is broken.
pub fn holds(data: &[u8]) {
    let text = as_text(data);
    if text.contains(['\u{e000}', '\u{e001}']) {
        return;
    }
    let mut lines = text.splitn(6, '\n').map(str::to_owned);
    let mut line = || lines.next().unwrap_or_default();
    let told = Told { owner: line(), id: line(), kind: line(), error: line(), url: line(), prompt: line() };
    for status in [Status::Failed.as_str(), Status::Processing.as_str(), &told.kind] {
        same(&told, |told| drafts(told, status, status == "failed"));
        same(&told, |told| explained(told, status));
        json_is_the_same(&told, status);
    }
    same(&told, |told| message_page(&told.owner, &told.prompt, Some(("/", &told.kind))));
    same(&told, |told| refused_page(&told.owner, "it is over", &format!("no: {}", told.prompt), None));
    same(&told, |told| demo_page(&[DemoUser { user_id: told.owner.clone(), balance: 1_000 }]));
    same(&told, |told| {
        // What a form sends is the whole plan, as JSON in an attribute.
        preview_page(&SweepJson::new(&outcome(told), &told.id, now(), true), &told.owner)
    });
    logged(&told);
}

/// What stands between two backticks may be shown as code.
fn plain(page: &str) -> String {
    page.replace("<code>", "`").replace("</code>", "`")
}

/// A page holds what strangers wrote with its `&`, `<`, `>` and `"` escaped, at each place, and nothing else depends on it: so
/// it is, to the byte, the page that holds marks, with each mark replaced.
fn same(told: &Told, page: impl Fn(&Told) -> String) {
    let marks = told.marks();
    let escaped = told.texts().map(escape);
    let mut expected = page(&marks);
    for (mark, text) in marks.texts().iter().zip(&escaped) {
        expected = expected.replace(mark, text);
    }
    let expected = plain(&expected);
    // In the JSON within an attribute or a `pre`, each text is escaped twice.
    let found = plain(&page(told));
    if found != expected {
        let parts = ["name=\"plan\"", "<pre "];
        let json = parts.iter().find(|part| found.contains(*part));
        let json = json.unwrap_or_else(|| panic!("{found}\n\ninstead of\n\n{expected}"));
        let before = |page: &str| page.split(json).next().unwrap_or_default().to_owned();
        assert!(found.contains(json), "{found}\n\ninstead of\n\n{expected}");
        assert_eq!(before(&found), before(&expected));
        assert_eq!(found.matches('<').count(), expected.matches('<').count());
        assert_eq!(found.matches('"').count(), expected.matches('"').count());
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The row as the database gives it.
fn page(told: &Told, status: &str) -> Vec<Row> {
    let Told { owner, id, kind, error, url, prompt } = told;
    let created_at = NOW_MS - 1_800_000;
    let creation = json!([id, owner, kind, status, 1, 7, created_at, created_at, null, null, 40, null]);
    let page = json!([
        creation, prompt, error, "code", null, created_at, 7, url, null, null, null, null, null, null, null,
        null
    ]);
    vec![Row::from_iter([(String::from("page"), Value::from(page.to_string()))])]
}

fn view(told: &Told, status: &str) -> DraftView {
    let row = page_rows(&page(told, status)).expect("it is a row").remove(0);
    DraftView::new(row, now(), &Policy::default())
}

fn outcome(told: &Told) -> SweepOutcome {
    let rejected = vec![Rejected { id: told.id.clone(), error: told.error.clone() }];
    SweepOutcome { rejected, ..SweepOutcome::default() }
}

fn list(told: &Told, status: &str) -> DraftsView {
    DraftsView {
        now: now().as_millis(),
        user_id: told.owner.clone(),
        balance: 1_000,
        drafts: vec![view(told, status)],
        next_cursor: Some(String::from("bmV4dA")),
        marked_as_failed: 1,
        swept: true,
        archived: None,
    }
}

fn drafts(told: &Told, status: &str, first: bool) -> String {
    let page = drafts_page(&list(told, status), &Language::english(), &told.error, first, false);
    // Only what a browser opens as an address of the web is a link.
    for link in page.split("href=\"").skip(1) {
        let start = link.get(..4).unwrap_or_default().to_ascii_lowercase();
        assert!(link.starts_with(['/', '#']) || start == "http" || link.starts_with("data:,\""), "{link}");
    }
    page
}

fn explained(told: &Told, status: &str) -> String {
    // It says something, whatever is told: what has no error is worded without one.
    let error = Value::from(format!("no: {}", told.error));
    let events = vec![Row::from_iter([(String::from("last_error"), error)])];
    let results = vec![page(told, status), vec![], vec![], vec![], events, vec![], vec![], vec![]];
    let read = Explanation::read(results, now(), &Policy::default()).expect("it is a row");
    creation_page(&read.expect("it is there"), Some(&told.owner), "csrf", &Done::read(&told.prompt))
}

fn json_is_the_same(told: &Told, status: &str) {
    let written = serde_json::to_string(&list(told, status)).expect("it can be written");
    assert!(!written.contains('\n'));
    let read: Value = serde_json::from_str(&written).expect("it is JSON");
    let draft = &read["drafts"][0];
    assert_eq!(read["user_id"], told.owner);
    let stored = [("id", &told.id), ("kind", &told.kind), ("prompt", &told.prompt)];
    assert!(stored.iter().all(|(key, text)| draft[*key] == **text));
    // Whoever makes a link of it goes nowhere else than on the web.
    let address = Address::parse(&told.url).map(|_| told.url.as_str());
    assert_eq!(draft["result_url"].as_str(), address);
}

/// A line of the log is one line and one JSON object, and says the prompt of nobody.
fn logged(told: &Told) {
    let Told { owner, id, error, prompt, .. } = told;
    let outcome = outcome(told);
    let answer = serde_json::to_value(SweepJson::new(&outcome, id, now(), true)).unwrap();
    assert_eq!(answer["rejected"][0], json!({ "id": id, "error": error }));
    let lines = [
        (log::refused_caller(id, error), "reason", error),
        (log::restored(id, owner), "creation_id", id),
        (log::operator_action(owner, "pause"), "actor", owner),
        (log::failed_delivery("webhook", error), "error", error),
        (log::failed_sweep(id, Source::Page, error), "error", error),
        (log::failed_read(prompt), "error", prompt),
    ];
    for (line, key, text) in lines {
        let read: Value = serde_json::from_str(&line).expect("it is JSON");
        assert!(!line.contains(['\n', '\r']) && read[key] == **text && read["message"].is_string());
    }
    for line in log::sweep(&outcome, id, Source::Cron) {
        assert!(!line.contains(['\n', '\r']) && serde_json::from_str::<Value>(&line).is_ok());
    }
}
