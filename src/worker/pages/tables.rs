//! Tables: one that is too wide scrolls, and on a phone each row is a card whose figures say what they are.

use maud::{Markup, html};

/// What the cells of a column hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Choice,
    Id,
    Name,
    Words,
    Figure,
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    head: &'a str,
    holds: Holds,
}

/// Boxes to choose rows by.
pub(super) const fn choice(head: &str) -> Column<'_> {
    Column { head, holds: Holds::Choice }
}

/// Ids, codes and what else may be long without a space: it wraps anywhere.
pub(super) const fn id(head: &str) -> Column<'_> {
    Column { head, holds: Holds::Id }
}

/// Times, and names of few words.
pub(super) const fn name(head: &str) -> Column<'_> {
    Column { head, holds: Holds::Name }
}

/// Sentences.
pub(super) const fn words(head: &str) -> Column<'_> {
    Column { head, holds: Holds::Words }
}

/// Numbers, which stand at the end of their column.
pub(super) const fn figure(head: &str) -> Column<'_> {
    Column { head, holds: Holds::Figure }
}

impl<'a> Column<'a> {
    /// What names a row on a card, where its first cell does not say it by itself.
    fn head_of_row(self) -> Option<&'a str> {
        (self.holds == Holds::Name).then_some(self.head)
    }

    const fn class(self) -> &'static str {
        match self.holds {
            Holds::Choice => "choice",
            Holds::Id => "id",
            Holds::Name => "name",
            Holds::Words => "words",
            Holds::Figure => "figure",
        }
    }

    fn head(self) -> Markup {
        html! { th class=[(self.holds == Holds::Figure).then_some("figure")] scope="col" {
            @if self.holds == Holds::Choice { span .unseen { (self.head) } } @else { (self.head) }
        } }
    }
}

/// What a cell says.
pub(super) fn cell(said: impl AsRef<str>) -> Markup {
    escaped(said.as_ref())
}

fn escaped(said: &str) -> Markup {
    html! { (said) }
}

/// The first column that is not of choices names its row.
pub(super) fn table(
    label: &str,
    columns: &[Column<'_>],
    rows: impl IntoIterator<Item = Vec<Markup>>,
) -> Markup {
    whole(label, columns, &rows.into_iter().collect::<Vec<_>>())
}

fn whole(label: &str, columns: &[Column<'_>], rows: &[Vec<Markup>]) -> Markup {
    let names = columns.iter().position(|column| column.holds != Holds::Choice);
    html! {
        div .scroll tabindex="0" role="region" aria-label=(label) { table {
            thead { tr { @for column in columns { (column.head()) } } }
            tbody { @for row in rows { tr {
                @for (at, (column, said)) in columns.iter().zip(row).enumerate() {
                    @if Some(at) == names { th .(column.class()) scope="row" data-head=[column.head_of_row()] { (said) } }
                    @else if column.holds == Holds::Choice { td .choice { (said) } }
                    @else { td .(column.class()) data-head=(column.head) { (said) } }
                }
            } } }
        } }
    }
}
