//! Words: plain data that every other room speaks. No I/O, no async, no clock.

pub mod agent;
pub mod artefact;
pub mod build;
pub mod command;
pub mod decision;
pub mod diagnostic;
pub mod digest;
pub mod distro;
pub mod event;
pub mod facts;
pub mod firmware;
pub mod intent;
pub mod lease;
pub mod logs;
pub mod mac;
pub mod machine;
pub mod name;
pub mod node;
pub mod phase;
pub mod profile;
pub mod refusal;
pub mod secret;
pub mod site;
pub mod subnet;
pub mod system;
pub mod view;
pub mod way;

pub use agent::{Agent, AgentPlan, AgentSpec, Identity, Revocation};
pub use artefact::{Artefact, ArtefactIndex, ArtefactRef, Nature, Signer};
pub use build::{Build, BuildKey, MachineId, Purpose};
pub use command::{EditRequest, FlagReport, FlagRequest, Selection};
pub use decision::{Action, BootPlan, Decision, LoaderKind, PlannedFile, Why};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use digest::Digest;
pub use distro::{ArtefactSource, Distro};
pub use event::{Event, EventKind, Record};
pub use facts::{ClientStage, Door, Facts};
pub use firmware::{Arch, Firmware, Processor};
pub use intent::{Intent, Partial};
pub use lease::{Lease, LeaseState};
pub use logs::{Bundle, BundleKind, LogEntry, LogLine};
pub use mac::MacAddr;
pub use machine::{Document, Machine, Pinned, Push};
pub use name::Name;
pub use node::NodeView;
pub use phase::{Phase, Stage};
pub use profile::{Answer, Deadlines, Handoff, Profile, ProfileKind};
pub use refusal::{Code, Refusal, with_causes};
pub use secret::SecretName;
pub use site::{AgentServers, DhcpMode, Keep, Mirror, Server, Site, UnknownAction};
pub use subnet::{AddressRange, Subnet};
pub use system::{DiskRule, Interface, System};
pub use way::{Content, Delivery, DistroWay, Family, Module, Own, Pair, Start, Way, size_word};

/// A point in time, always passed in, never read in words or thought.
pub use jiff::Timestamp;
