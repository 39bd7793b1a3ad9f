//! The status page: what is wrong first, in words; then what runs, what comes next, the backups, the verifications.
//!
//! It needs no script. One that only loads the page again runs if the browser allows it; else `<meta>` does it. Every
//! value is escaped by `maud`, and characters that change the direction or the lines of a text by [`words::plain`].
//!
//! | module | contents |
//! |---|---|
//! | [`snapshot`] | what the page shows |
//! | [`findings`] | what is wrong |
//! | [`jobs`] | what runs, and what ended lately |
//! | [`schedules`] | what comes next |
//! | [`timeline`] | the chains |
//! | [`checks`] | the last verifications and test restores |
//! | [`words`] | times, sizes and names in words |

mod checks;
mod findings;
mod jobs;
mod schedules;
mod snapshot;
#[cfg(test)]
mod tests;
mod timeline;
mod words;

use super::error::ApiError;
use super::shared::Shared;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{Html, IntoResponse};
use chrono::Utc;
use findings::Finding;
use maud::{DOCTYPE, Markup, html};
use snapshot::Snapshot;

/// Shows the page.
pub(super) async fn show(State(shared): State<Shared>) -> Html<String> {
    Html(render(&Snapshot::of(&shared, Utc::now())).into_string())
}

/// Answers with a file of the page.
pub(super) async fn file(Path(name): Path<String>) -> Result<impl IntoResponse, ApiError> {
    let (kind, text) = match name.as_str() {
        "style.css" => ("text/css; charset=utf-8", include_str!("style.css")),
        "icon.svg" => ("image/svg+xml", include_str!("icon.svg")),
        "refresh.js" => ("text/javascript; charset=utf-8", include_str!("refresh.js")),
        _ => return Err(ApiError::not_found("there is no such file")),
    };
    Ok(([(header::CONTENT_TYPE, kind)], text))
}

/// Renders the page.
fn render(snapshot: &Snapshot) -> Markup {
    let status = &snapshot.status;
    let name = words::plain(&status.name);
    let findings = findings::of(snapshot);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title(&findings)) " – lsnap " (name) }
                link rel="stylesheet" href="/static/style.css";
                link rel="icon" href="/static/icon.svg";
                noscript { meta http-equiv="refresh" content="30"; }
                script src="/static/refresh.js" defer {}
            }
            body {
                header {
                    h1 { "lsnap " span.agent { (name) } }
                    p.server { (server(snapshot)) }
                }
                main id="main" {
                    (findings::section(&findings, snapshot))
                    (jobs::running(snapshot))
                    (schedules::section(snapshot))
                    (timeline::section(snapshot))
                    (checks::section(snapshot))
                    (jobs::ended(snapshot))
                }
                footer {
                    p {
                        "lsnap " (env!("CARGO_PKG_VERSION")) ", begun "
                        (words::moment(status.started_at, snapshot.now)) ". The page of "
                        (words::clock(snapshot.now)) " is loaded again by itself. "
                        a href="/metrics" { "Metrics" } ", " a href="/v1/openapi.json" { "API" } "."
                    }
                }
            }
        }
    }
}

fn title(findings: &[Finding]) -> &'static str {
    match findings.first().map(|finding| finding.is_critical) {
        None => "OK",
        Some(false) => "Attention",
        Some(true) => "Wrong",
    }
}

fn server(snapshot: &Snapshot) -> Markup {
    let Some(server) = &snapshot.status.server else {
        return html! { "No server: this agent only tends repositories." };
    };
    html! {
        @match &server.reached {
            Ok(version) => {
                "MySQL " (words::plain(version))
                @match server.replica {
                    None => ", not a replica",
                    Some(None) => ", a replica",
                    Some(Some(lag)) => { ", a replica, " (lag) " s behind" }
                }
            }
            Err(_) => "The server is not reached",
        }
    }
}
