use std::fmt::Display;
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use crate::format;
pub use crate::format::{age, count, limit, list, minute, number, one_line, text, time};

pub const ERROR: Style = AnsiColor::Red.on_default().bold();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
pub const BOLD: Style = Style::new().bold();
pub const DIM: Style = Style::new().dimmed();

/// The first error of a write to stdout. It ends the printing and not the command: what a sweep found or did still decides the
/// exit code.
static STOPPED: OnceLock<io::Error> = OnceLock::new();

/// Text in a style; anstream removes the style where nobody would see it.
pub fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Prints data to stdout, as it is.
pub fn print(data: impl Display) {
    if STOPPED.get().is_none()
        && let Err(error) = write!(anstream::stdout(), "{data}").and_then(|()| anstream::stdout().flush())
    {
        // It is empty: nobody else writes.
        let _ = STOPPED.set(error);
    }
}

/// Prints a line of data to stdout.
pub fn say(text: impl Display) {
    print(format_args!("{text}\n"));
}

/// Prints a line for people to stderr. If that can't be written, there is no other place to say so.
pub fn note(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Why stdout could not be written. A reader that stopped reading, such as `head`, is not an error.
pub fn write_error() -> Option<&'static io::Error> {
    STOPPED.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// The terminal's columns, if stdout is a terminal.
fn width() -> Option<usize> {
    let terminal = io::stdout().is_terminal();
    terminal_size::terminal_size().filter(|_| terminal).map(|(width, _)| usize::from(width.0))
}

/// Prints an indented paragraph; on a terminal it wraps between words.
pub fn paragraph(first: &str, indent: &str, text: &str) {
    let options =
        textwrap::Options::new(width().unwrap_or(usize::MAX)).initial_indent(first).subsequent_indent(indent);
    for line in textwrap::wrap(text, options) {
        say(line);
    }
}

/// One row of a table, and the notes below it.
pub struct Line {
    pub cells: Vec<String>,
    pub notes: Vec<String>,
}

/// Prints a table. On a terminal each row is a line with its notes below; if that is too wide, the first cell has a line of its
/// own. Elsewhere a row is one line with tabs, and the notes are further columns.
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

/// Prints JSON for machines, indented for people.
pub fn json(value: &Value) {
    say(format::indented(value));
}
