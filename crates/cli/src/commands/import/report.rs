use stale_drafts_import::report::Report;

use crate::output::{self, Line, count, note, one_line};

/// Prints a report: the counts to stdout, what is to be looked at to stderr.
pub fn show(report: &Report) {
    let lines: Vec<_> = report
        .creations
        .iter()
        .map(|((status, kind), (creations, tokens))| Line {
            cells: vec![status.as_str().into(), kind.clone(), creations.to_string(), tokens.to_string()],
            notes: Vec::new(),
        })
        .collect();
    output::table(&["status", "kind", "creations", "tokens"], &[2, 3], &lines);
    note(line(report));
    for line in remarks(report) {
        note(line);
    }
}

/// The same in lines.
pub fn lines(report: &Report) -> Vec<String> {
    let creations = report.creations.iter().map(|((status, kind), (creations, tokens))| {
        format!(
            "  {} {}: {}, {tokens} tokens",
            status.as_str(),
            one_line(kind),
            count(*creations, "creation")
        )
    });
    creations.chain([line(report)]).chain(remarks(report)).collect()
}

/// The whole in one line.
pub fn line(report: &Report) -> String {
    format!(
        "{}: {}, {} with {} tokens, {} unreadable.",
        count(report.documents, "document"),
        count(report.creations_in_all(), "creation"),
        count(report.users, "balance"),
        report.balances,
        report.unreadable
    )
}

fn remarks(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if report.users == 0 {
        lines.push(String::from("No balances: every user keeps what is here."));
    }
    if report.not_refunded > 0 {
        lines.push(format!(
            "{} failed and not refunded there: no refund here either.",
            count(report.not_refunded, "creation")
        ));
    }
    if report.without_time > 0 {
        lines.push(format!(
            "{} active without any time: no sweep fails them.",
            count(report.without_time, "creation")
        ));
    }
    for (collection, documents) in &report.others {
        lines.push(format!("Left out: {} of `{}`.", count(*documents, "document"), one_line(collection)));
    }
    for unreadable in &report.first_unreadable {
        lines.push(format!("  {}: {}", one_line(&unreadable.path), one_line(&unreadable.reason)));
    }
    if report.unreadable > report.first_unreadable.len() as u64 {
        lines.push(String::from("  …"));
    }
    lines
}
