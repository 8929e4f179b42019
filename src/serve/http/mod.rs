//! HTTP: the machine plane.
//!
//! | path | file |
//! |---|---|
//! | `/ipxe/MAC`, `/autoexec.ipxe`, `/grub/..` | `boot_script` |
//! | `/a/..`, `/pair/..`, `/loader/NAME` | `artefact` |
//! | `/t/..` | `tree` |
//! | `/b/TOKEN/NAME` | `document` |
//! | `/r/TOKEN/VERB` | `report`, and `status`, `bundle` for the verbs of these names |
//! | `/h/TOKEN/VERB`, over TLS only | `handoff` |
//! | `/mirror/NAME/PATH` | `mirror` |
//!
//! `machine` takes a request apart and finds the file above for it; `accept` is the accept loop
//! under it; `body`, `range` and `reply` are what all share.

pub mod accept;
pub mod api;
mod artefact;
mod body;
mod boot_script;
mod bundle;
mod document;
mod handoff;
pub mod machine;
pub mod mirror;
mod own;
mod patience;
mod puppet;
mod range;
mod reply;
mod report;
mod status;
mod tree;

pub use accept::{Limits, Peer, Running, Tls};
pub use machine::{MachinePlane, handoff_router, router};
pub use mirror::{Found, Mirrors, Missing, NoMirrors};
