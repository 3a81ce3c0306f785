use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::plain;
pub use crate::plain::{age, count, limit, list, minute, number, one_line, text, time};

pub const ERROR: Style = AnsiColor::Red.on_default().bold();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();

/// Text in a style; anstream leaves the style out where nobody would see it.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints a line of data. Nobody reads what follows once the reader has gone, as in `| head`.
pub fn say(text: impl Display) {
    if writeln!(anstream::stdout(), "{text}").is_err() {
        std::process::exit(0);
    }
}

/// How many columns there are, if stdout is a terminal.
fn width() -> Option<usize> {
    let terminal = std::io::stdout().is_terminal();
    terminal_size::terminal_size().filter(|_| terminal).map(|(width, _)| usize::from(width.0))
}

/// Prints a paragraph, indented; on a terminal it is broken between words.
pub fn paragraph(first: &str, indent: &str, text: &str) {
    let options =
        textwrap::Options::new(width().unwrap_or(usize::MAX)).initial_indent(first).subsequent_indent(indent);
    for line in textwrap::wrap(text, options) {
        say(line);
    }
}

/// One row of a table: its cells, and lines that stand below it.
pub struct Line {
    pub cells: Vec<String>,
    pub notes: Vec<String>,
}

/// Prints rows under their heads. On a terminal each row takes one line, and its notes stand below; if the rows are too
/// wide, the first cell has a line of its own. Elsewhere the notes are further columns, so that a row is a line.
pub fn table(heads: &[&str], right: &[usize], lines: &[Line]) {
    let Some(width) = width() else {
        for line in lines {
            let cells: Vec<_> = line.cells.iter().chain(&line.notes).map(|cell| one_line(cell)).collect();
            say(cells.join("\t"));
        }
        return;
    };
    let whole = render(heads, right, lines.iter().map(|line| line.cells.as_slice()));
    let fits = whole.iter().all(|line| line.trim_end().chars().count() <= width);
    let rendered = if fits {
        whole
    } else {
        let rest = right.iter().filter_map(|at| at.checked_sub(1)).collect::<Vec<_>>();
        let rows = lines.iter().map(|line| line.cells.get(1..).unwrap_or_default());
        render(heads.get(1..).unwrap_or_default(), &rest, rows)
    };
    let mut rendered = rendered.into_iter();
    if let Some(head) = rendered.next() {
        say(styled(BOLD, head.trim_end()));
    }
    for (text, line) in rendered.zip(lines) {
        if !fits && let Some(first) = line.cells.first() {
            say(styled(BOLD, first));
        }
        say(text.trim_end());
        for note in line.notes.iter().filter(|note| !note.is_empty()) {
            say(styled(DIM, format!("  {}", one_line(note))));
        }
    }
}

fn render<'a>(heads: &[&str], right: &[usize], rows: impl Iterator<Item = &'a [String]>) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads.iter().map(|head| head.to_uppercase()));
    for row in rows {
        table.add_row(row.iter().map(|cell| one_line(cell)));
    }
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if right.contains(&at) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().collect()
}

/// JSON for machines, indented for people.
pub fn json(value: &Value) {
    say(plain::indented(value));
}
