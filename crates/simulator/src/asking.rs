//! A provider who is asked before a sweep: what it says may be late, wrong or nothing.

use std::cell::Cell;
use std::rc::Rc;

use serde_json::{Value, json};
use stale_drafts::service::ask::Provider;

use crate::actors;
use crate::attached;
use crate::call::{AskCall, Call, Said};
use crate::invariants;
use crate::script::{Says, Sweep};
use crate::sharded;
use crate::world::Link;

/// Asks, and makes the sweep that it is for.
pub async fn ask(link: &Link, asked: &Sweep, says: Says, most: u32) {
    let call = Rc::new(AskCall {
        sweep: actors::begun(link, asked, None),
        said: Default::default(),
        done: Cell::default(),
        running: Cell::default(),
        again: Cell::default(),
    });
    link.begin(Call::Ask(Rc::clone(&call)));
    let request = actors::request(link, &call.sweep, None, asked.limit);
    let answer = sharded::ask(link, request, &Answers { link, call: &call, says }, most).await;
    link.world.check(invariants::ask(&call, &answer, link));
    link.world.reach("questions to a provider", usize::from(answer.creations > 0));
    link.world.reach("creations that a provider has completed", answer.done);
    link.world.reach("creations that a provider says are running", answer.running);
    let sweep = call.sweep.again();
    let _ = actors::sweep(link, asked, None, Some(sweep)).await;
}

struct Answers<'a> {
    link: &'a Link,
    call: &'a AskCall,
    says: Says,
}

impl Provider for Answers<'_> {
    async fn ask(&self, _: &str, question: &str) -> Result<String, String> {
        // It takes its time: anybody may come meanwhile.
        self.link.turn().await;
        let question: Value = serde_json::from_str(question).map_err(|error| error.to_string())?;
        let list = question.pointer("/data/creations").and_then(Value::as_array).cloned().unwrap_or_default();
        match self.says {
            Says::Silent => Err(String::from("it did not answer")),
            Says::Garbage => Ok(String::from("done")),
            _ => {
                let list: Vec<_> =
                    list.iter().zip(0..).filter_map(|(asked, at)| self.about(asked, at)).collect();
                Ok(json!({ "creations": list }).to_string())
            }
        }
    }
}

impl Answers<'_> {
    /// What is said of one, and noted.
    fn about(&self, asked: &Value, at: usize) -> Option<Value> {
        let id = asked.get("creation_id")?.as_str()?;
        let attempt = u32::try_from(asked.get("attempt")?.as_u64()?).ok()?;
        let attempt = if self.says == Says::Other { attempt.checked_add(1)? } else { attempt };
        let done = || Said::Done(format!("https://cdn.example/{id}/{attempt}"));
        let said = match (self.says, at % 3) {
            // The app's own row has the last word on what is attached.
            _ if attached::gid(id).is_some() => Said::Unknown,
            (Says::Done | Says::Other, _) | (Says::Mixed, 0) => done(),
            (Says::Running, _) | (Says::Mixed, 1) => Said::Running,
            _ => Said::Unknown,
        };
        self.call.said.borrow_mut().insert(id.to_owned(), (attempt, said.clone()));
        Some(match said {
            Said::Done(url) => {
                json!({ "creation_id": id, "attempt": attempt, "state": "done", "result_url": url })
            }
            Said::Running => json!({ "creation_id": id, "attempt": attempt, "state": "running" }),
            Said::Unknown => json!({ "creation_id": id, "attempt": attempt, "state": "unknown" }),
        })
    }
}
