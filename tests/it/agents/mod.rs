//! The hand-off's agents against their real servers, in a rack: a phantom plays firmware and
//! installer, what it "installs" is a real system in a folder, and the first-boot unit runs in it.
//! In `metal` the machine is one too: firmware, installer, disk, systemd.

mod keyed;
mod metal;
mod others;
mod puppet;
mod puppetserver;
mod root;
mod target;
