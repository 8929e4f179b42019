//! `/own/PATH`: what a distro's own boot program asks for, loaded by HTTP boot.

use axum::http::StatusCode;

use super::artefact;
use super::machine::{Answer, Asked, MachinePlane};
use super::reply;
use crate::model::{Door, Facts, Firmware};
use crate::serve::own::{Found, find};

/// A file of the machine that asks, or its configuration, which starts the installer.
pub(super) async fn own(plane: &MachinePlane, asked: &Asked, path: &str) -> Answer {
    let Some(mac) = asked.mac else {
        return Answer::remark(reply::not_found(), "nobody known holds its address");
    };
    let facts = Facts {
        mac,
        ip: Some(asked.from),
        door: Door::Http,
        firmware: Some(Firmware {
            http: true,
            ..Firmware::UEFI
        }),
        stage: crate::model::ClientStage::Own,
    };
    match find(plane.waist.as_ref(), &facts, path) {
        Found::File(file) => artefact::artefact(plane, asked, &file.id, &file.digest.short()).await,
        Found::Config(config) => {
            let remark = config.outcome();
            let text = if asked.looks_only() {
                Some(config.bytes().clone())
            } else {
                config.served(plane.waist.as_ref()).await
            };
            match text {
                Some(text) => Answer::remark(reply::text(StatusCode::OK, text), remark),
                None => Answer::remark(reply::not_found(), "it may not start now"),
            }
        }
        Found::Nothing(why) => Answer::remark(reply::not_found(), why),
    }
}
