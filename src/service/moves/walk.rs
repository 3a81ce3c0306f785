//! The walk of a move over the pages of the source: it copies them, and then it compares them.

use super::{Flow, Move, MoveError, Run, refused};
use crate::rules::Bucket;
use crate::store::{self, Database, DatabaseError, MoveRow, Place, Row, Stage, Statement};

/// What is done with what a walk comes by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Copy,
    Verify,
}

/// How far the target has no more than a slice of rows of this stage from here on.
enum Reach {
    Unknown,
    To(String),
    End,
}

/// A walk over pages. It has come as far as `place`, and the database knows of it as far as `stored`.
struct Walk {
    place: Place,
    stored: String,
    state: String,
    reach: Reach,
    ended: bool,
}

impl Walk {
    fn new(place: Place, row: &MoveRow) -> Self {
        Walk {
            place,
            stored: row.place.clone(),
            state: row.state.clone(),
            reach: Reach::Unknown,
            ended: false,
        }
    }

    /// Goes on after a page of `n` rows: to the next one, or to the next stage.
    fn after(&mut self, place: Option<String>, n: u64) {
        match self.place.stage {
            Stage::Creations => self.place.creations = self.place.creations.saturating_add(n),
            Stage::Ledger => self.place.entries = self.place.entries.saturating_add(n),
            _ => {}
        }
        match (place, self.place.stage.next()) {
            (Some(after), _) => self.place.after = after,
            (None, Some(stage)) => {
                self.place.stage = stage;
                self.reach = Reach::Unknown;
                stage.beginning().clone_into(&mut self.place.after);
            }
            (None, None) => self.ended = true,
        }
    }

    /// The place, where the database does not know of it yet.
    fn unsaved(&self) -> Option<String> {
        let text = self.place.text();
        (text != self.stored && !(self.stored.is_empty() && self.place == Place::beginning(Stage::Users)))
            .then_some(text)
    }
}

/// The key in the place `["key"]`.
fn key(place: &str) -> Option<String> {
    let keys: Vec<String> = serde_json::from_str(place).ok()?;
    keys.into_iter().next()
}

impl<S: Database, T: Database> Run<'_, S, T> {
    /// Walks over the users, and then over all that is theirs, page by page. A copy finds the users, reads, writes, and only then goes
    /// on. A verification looks for users once more, and compares every row of both sides.
    pub(super) async fn walk(&self, task: Task, row: &MoveRow) -> Result<Flow, MoveError> {
        let id = self.planned.id;
        let mut walk = Walk::new(self.source.place(row, Stage::Users)?, row);
        while self.may_go_on() {
            if matches!(walk.place.stage, Stage::Users | Stage::Owners) {
                let Some(page) = self.next_users(&mut walk).await? else { return Ok(Flow::GoesOn) };
                let mine = self.mine(&page.users);
                match task {
                    _ if mine.is_empty() => {}
                    Task::Copy => self.enter(&mine).await?,
                    Task::Verify => {
                        let unknown = self.source.run(&[store::not_entered(id, &mine)]).await?;
                        if unknown.iter().any(|rows| !rows.is_empty()) {
                            return self.copy_again(&walk).await;
                        }
                    }
                }
                walk.after(page.place, 0);
            } else {
                let after = walk.place.after.clone();
                if task == Task::Verify {
                    self.reach(&mut walk).await?;
                }
                let Some(page) = self.next_page(&mut walk).await? else { return Ok(Flow::GoesOn) };
                match task {
                    // A page may hold nothing but more of a creation that was counted before.
                    Task::Copy if page.rows == "[]" => {}
                    Task::Copy => self.put(walk.place.stage, &page.rows).await?,
                    Task::Verify => self.compare(walk.place.stage, &after, &page).await?,
                }
                walk.after(page.place, page.n);
            }
            if walk.ended {
                let turn = match task {
                    Task::Copy => store::turn_move(id, "paused", "copied", Some(&walk.stored), self.now),
                    Task::Verify => store::verified(id, &walk.stored, &walk.place, self.now),
                };
                self.source.run(&[turn]).await?;
                return Ok(Flow::GoesOn);
            }
        }
        self.save(&walk).await
    }

    /// Writes a page into the target. An id of a creation can be only one user's in a database.
    async fn put(&self, stage: Stage, rows: &str) -> Result<(), MoveError> {
        let Move { id, source, target, .. } = self.planned;
        let mut batch = store::put(id, stage, rows);
        if stage != Stage::Creations {
            return self.target.run(&batch).await.map(drop);
        }
        batch.push(store::taken_id(rows));
        let mut results = self.target.run(&batch).await?;
        match self.target.read(&mut results, store::taken_id_of)? {
            None => Ok(()),
            Some(taken) => refused(format!(
                "the creation `{}` of user `{}` in `{source}` can't move: `{target}` has one with the same id, of user `{}`; undo the move, and leave the bucket {} out of the next one",
                taken.id,
                taken.user_id,
                taken.of_user,
                Bucket::of_user(&taken.user_id).number()
            )),
        }
    }

    /// Finds how far the ledgers, or what is compacted, can be compared at once: no further than a slice of the target's, whosever its
    /// rows are. A target may have many times as many as the source.
    async fn reach(&self, walk: &mut Walk) -> Result<(), MoveError> {
        let behind = match &walk.reach {
            Reach::Unknown => true,
            Reach::End => false,
            Reach::To(end) => key(&walk.place.after).is_none_or(|after| after == *end),
        };
        let stage = walk.place.stage;
        if !stage.is_sliced() || !behind {
            return Ok(());
        }
        let next = store::next_entries(stage, &walk.place.after, self.bounds.page.slice);
        let mut results = self.target.run(&[next]).await?;
        let rows = self.target.read(&mut results, Ok)?;
        let end = rows.first().and_then(|row| key(row.get("place")?.as_str()?));
        walk.reach = end.map_or(Reach::End, Reach::To);
        Ok(())
    }

    /// Compares a page of the source with what the target has there.
    async fn compare(&self, stage: Stage, after: &str, page: &store::Rows) -> Result<(), MoveError> {
        let until = page.place.as_deref().filter(|_| stage.is_sliced()).and_then(key);
        let theirs = store::same_page(self.planned.id, stage, after, until.as_deref(), self.bounds.page);
        let mut results = self.target.run(&[theirs]).await?;
        let theirs = self.target.read(&mut results, store::rows_of)?;
        if theirs.rows == page.rows {
            return Ok(());
        }
        refused(self.difference(stage, &page.rows, &theirs.rows))
    }

    /// There is a user who came in past the fences, by an app's own hand, before the mover could know them.
    async fn copy_again(&self, walk: &Walk) -> Result<Flow, MoveError> {
        let place = Place { pass: walk.place.pass.saturating_add(1), ..Place::beginning(Stage::Users) };
        let again = store::copy_again(self.planned.id, &walk.stored, &place.text(), self.now);
        self.source.run(&[again]).await?;
        Ok(Flow::GoesOn)
    }

    /// Notes how far the walk has come, and reads the next users. `None`: another mover was faster.
    async fn next_users(&self, walk: &mut Walk) -> Result<Option<store::UserRows>, MoveError> {
        let next = store::next_users(walk.place.stage, &walk.place.after, self.bounds.users);
        let Some(mut results) = self.note_and(walk, next).await? else { return Ok(None) };
        self.source.read(&mut results, store::users_of).map(Some)
    }

    /// The same for a page of rows.
    async fn next_page(&self, walk: &mut Walk) -> Result<Option<store::Rows>, MoveError> {
        let Place { stage, after, .. } = &walk.place;
        let until = match &walk.reach {
            Reach::To(end) => Some(end.as_str()),
            Reach::Unknown | Reach::End => None,
        };
        let (stage, after) = (*stage, after.clone());
        let next = store::page_of_move(self.planned.id, stage, &after, until, self.bounds.page);
        let results = match self.note_and(walk, next).await {
            Err(MoveError::Database { error, .. }) if stage == Stage::Creations && error.is_too_big() => {
                return self.too_big(&after, &error).await;
            }
            results => results?,
        };
        let Some(mut results) = results else { return Ok(None) };
        self.source.read(&mut results, store::rows_of).map(Some)
    }

    /// Names the creation that is more than a database may hold at once: only an app's own hand can have written it.
    async fn too_big<O>(&self, after: &str, error: &DatabaseError) -> Result<O, MoveError> {
        let Move { id, source, .. } = self.planned;
        let next = store::largest_creation(id, after, self.bounds.page.rows);
        let mut results = self.source.run(&[next]).await?;
        let named = match self.source.read(&mut results, store::largest_creation_of)? {
            Some(found) => format!("`{}`, of about {} bytes", found.id, found.bytes),
            None => "none that is still there".to_owned(),
        };
        refused(format!(
            "a creation in `{source}` can't move, its rows are too long ({error}): the largest of the next ones is {named}; shorten its texts"
        ))
    }

    async fn note_and(&self, walk: &mut Walk, next: Statement) -> Result<Option<Vec<Vec<Row>>>, MoveError> {
        let Some(text) = walk.unsaved() else { return self.source.run(&[next]).await.map(Some) };
        let advance = store::advance(self.planned.id, &walk.state, &walk.stored, &text, self.now);
        let results = self.source.run(&[advance, next]).await?;
        walk.stored = text;
        Ok((!results.first().is_none_or(Vec::is_empty)).then_some(results))
    }

    async fn save(&self, walk: &Walk) -> Result<Flow, MoveError> {
        if let Some(text) = walk.unsaved() {
            self.source
                .run(&[store::advance(self.planned.id, &walk.state, &walk.stored, &text, self.now)])
                .await?;
        }
        Ok(Flow::GoesOn)
    }

    fn difference(&self, stage: Stage, source: &str, target: &str) -> String {
        let Move { source: source_binding, target: target_binding, id, .. } = self.planned;
        let parse = |text: &str| serde_json::from_str::<Vec<serde_json::Value>>(text).unwrap_or_default();
        let (source, target) = (parse(source), parse(target));
        let at = source.iter().zip(&target).take_while(|(source, target)| source == target).count();
        let name = |rows: &[serde_json::Value]| {
            rows.get(at).and_then(|row| row.get(0)).map_or_else(|| "none".to_owned(), |id| format!("`{id}`"))
        };
        let what = match stage {
            Stage::Ledger => "the ledger",
            Stage::Compacted => "the compacted creations",
            Stage::Balances => "the balances",
            _ => "the creations",
        };
        format!(
            "{what} of move `{id}` differ: the first row is {} in `{source_binding}` and {} in `{target_binding}`; look what has written there",
            name(&source),
            name(&target)
        )
    }
}
