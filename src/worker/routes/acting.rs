//! What operators do by the dashboard's forms: about one creation, about a sweep, or for a kind. Each is what the API does.

use serde::Deserialize;

use crate::read::Name;
use crate::rules::Timestamp;
use crate::store::Subject;
use crate::worker::app::App;
use crate::worker::at_dashboard::{Answer, OwnForm};
use crate::worker::extending::{self, ExtendForm};
use crate::worker::noting;
use crate::worker::pages::{Done, creation_address};
use crate::worker::problem::see_other;
use crate::worker::retry_cancel::{self, By, CancelBody, FailNowBody, RetryBody};

/// Back to the creation, with what was done.
fn done(form: &OwnForm, done: Done) -> Answer {
    let (id, user_id) = form.creation();
    Ok(see_other(&done.at(&creation_address(id, user_id))))
}

/// Back to the dashboard, with what was done.
fn done_there(done: Done) -> Answer {
    Ok(see_other(&done.at("/dashboard")))
}

/// `POST /dashboard/retry`: a failed creation gets another attempt, and its owner is charged again.
#[worker::send]
pub(in crate::worker) async fn retry(app: App, form: OwnForm) -> Answer {
    let (id, user_id) = form.creation();
    let body: RetryBody = form.read(&["attempt"]).map_err(|problem| form.refused(problem))?;
    let row = retry_cancel::retry(&app, id, user_id, By::Token(form.actor()), &body).await;
    let row = row.map_err(|problem| form.refused(problem))?;
    done(&form, Done::retried(row.creation.tokens))
}

/// `POST /dashboard/cancel`: nobody wants it any more. What goes back, the policy says.
#[worker::send]
pub(in crate::worker) async fn cancel(app: App, form: OwnForm) -> Answer {
    let (id, user_id) = form.creation();
    let body: CancelBody = form.read(&["attempt"]).map_err(|problem| form.refused(problem))?;
    let row = retry_cancel::cancel(&app, id, user_id, By::Token(form.actor()), &body).await;
    let row = row.map_err(|problem| form.refused(problem))?;
    done(&form, Done::cancelled(row.refunded()))
}

/// `POST /dashboard/fail`: it is failed now, with words for its owner, and all that was charged goes back.
#[worker::send]
pub(in crate::worker) async fn fail(app: App, form: OwnForm) -> Answer {
    let (id, user_id) = form.creation();
    let body: FailNowBody = form.read(&["attempt", "error"]).map_err(|problem| form.refused(problem))?;
    let row = retry_cancel::fail_now(&app, id, user_id, form.actor(), &body).await;
    let row = row.map_err(|problem| form.refused(problem))?;
    done(&form, Done::failed(row.refunded()))
}

/// `POST /dashboard/restore`: the late result is accepted, and its owner is charged again.
#[worker::send]
pub(in crate::worker) async fn restore(app: App, form: OwnForm) -> Answer {
    let (id, user_id) = form.creation();
    let row = retry_cancel::restore(&app, id, user_id, form.actor()).await;
    let row = row.map_err(|problem| form.refused(problem))?;
    done(&form, Done::restored(row.charged_again.unwrap_or(0)))
}

/// `POST /dashboard/extend`: it has more time.
#[worker::send]
pub(in crate::worker) async fn extend(app: App, form: OwnForm) -> Answer {
    let (id, user_id) = form.creation();
    let wanted: ExtendForm =
        form.read(&["minutes", "until", "reason"]).map_err(|problem| form.refused(problem))?;
    let wanted = wanted.wanted(app.now).map_err(|problem| form.refused(problem))?;
    let row = extending::give(&app, id, user_id, form.actor(), wanted).await;
    let row = row.map_err(|problem| form.refused(problem))?;
    // Where the limit alone gives it longer, that is what holds.
    let until = extending::deadline(&app, &row).or(row.creation.extended_until.instant());
    done(&form, Done::extended(until.map_or(0, Timestamp::as_millis)))
}

/// Which kind.
#[derive(Deserialize)]
struct KindForm {
    kind: Name,
}

/// `POST /dashboard/extend-kind`: all of a kind have more time. Where many are active, the page that answers has a button that goes on.
#[worker::send]
pub(in crate::worker) async fn extend_kind(app: App, form: OwnForm) -> Answer {
    let KindForm { kind } = form.read(&["kind"]).map_err(|problem| form.refused(problem))?;
    let wanted: ExtendForm =
        form.read(&["minutes", "until", "reason"]).map_err(|problem| form.refused(problem))?;
    let (until, reason) = wanted.wanted(app.now).map_err(|problem| form.refused(problem))?;
    let reached = extending::give_kind(&app, kind.as_str(), form.actor(), (until, reason)).await;
    let reached = reached.map_err(|problem| form.refused(problem))?;
    done_there(Done::kind_extended(kind.as_str(), until.as_millis(), reached.creations, reached.more))
}

/// `POST /dashboard/end-extension`: a kind has no more time than its limits give.
#[worker::send]
pub(in crate::worker) async fn end_extension(app: App, form: OwnForm) -> Answer {
    let KindForm { kind } = form.read(&["kind"])?;
    let reached = extending::end_kind(&app, kind.as_str(), form.actor()).await?;
    done_there(Done::kind_ended(kind.as_str(), reached.more))
}

/// `POST /dashboard/note`: what others should know of a creation, or of a sweep.
#[worker::send]
pub(in crate::worker) async fn note(app: App, form: OwnForm) -> Answer {
    let ((id, user_id), sweep) = (form.creation(), form.field("sweep"));
    let about = if id.is_empty() { Subject::Sweep(sweep) } else { Subject::Creation(id) };
    let noted = noting::add(&app, form.actor(), about, form.field("text").trim(), user_id).await;
    noted.map_err(|problem| form.refused(problem))?;
    if id.is_empty() { done_there(Done::noted()) } else { done(&form, Done::noted()) }
}
