//! FAI's monitor protocol, TCP port 4711: one line a connection, which says where an install is.
//!
//! A machine sends `HOST TASKBEGIN task`, `HOST TASKEND task code`, `HOST TASKERROR task code` and
//! the like (fai-monitor(8)). The lines carry no token: whoever holds the machine's address may send
//! them, so they are shown as seen and never move a build.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::Waist;
use crate::model::event::printable;
use crate::model::{Door, Event, EventKind, Stage};

/// The port that FAI's clients know.
pub const PORT: u16 = 4711;
/// Longest line that is read.
const LINE: usize = 512;
/// How long a line may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Connections at once.
const CONNECTIONS: usize = 1024;

/// A monitor that listens.
#[derive(Debug)]
pub struct Running {
    addresses: Vec<SocketAddr>,
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
}

impl Running {
    /// Where it listens.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Closes it.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        while self.loops.join_next().await.is_some() {}
    }
}

/// Opens the door on listeners that are bound already.
///
/// # Errors
/// If a listener does not know its own address.
pub fn start(listeners: Vec<TcpListener>, waist: Arc<dyn Waist>) -> io::Result<Running> {
    let addresses: io::Result<Vec<_>> = listeners.iter().map(TcpListener::local_addr).collect();
    let (stop, stopped) = watch::channel(false);
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept(listener, waist.clone(), stopped.clone()));
    }
    Ok(Running {
        addresses: addresses?,
        stop,
        loops,
    })
}

async fn accept(listener: TcpListener, waist: Arc<dyn Waist>, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = over(&mut stopped) => return,
        };
        match accepted {
            Ok((stream, from)) => {
                // Without room the connection is closed at once: a lost line of progress harms nobody.
                if let Ok(place) = room.clone().try_acquire_owned() {
                    let waist = waist.clone();
                    tokio::spawn(async move {
                        hear(stream, from.ip(), waist.as_ref()).await;
                        drop(place);
                    });
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a monitor connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn over(stopped: &mut watch::Receiver<bool>) {
    let _closed_either_way = stopped.wait_for(|stop| *stop).await.is_ok();
}

/// Reads one line and closes: FAI's client waits for the close.
async fn hear(mut stream: TcpStream, from: IpAddr, waist: &dyn Waist) {
    let mut line = Vec::new();
    let reading = async {
        let mut piece = [0u8; LINE];
        while line.len() < LINE && !line.contains(&b'\n') {
            match stream.read(&mut piece).await {
                Ok(0) | Err(_) => break,
                Ok(n) => line.extend_from_slice(&piece[..n]),
            }
        }
    };
    // What came in time is used; a line that dribbles is not waited for.
    let _in_time = tokio::time::timeout(PATIENCE, reading).await.is_ok();
    drop(stream);
    let IpAddr::V4(from) = from.to_canonical() else {
        return;
    };
    let Some(mac) = waist.holder(from) else {
        return;
    };
    let text = String::from_utf8_lossy(&line);
    let Some((stage, detail)) = progress(text.lines().next().unwrap_or("")) else {
        return;
    };
    waist.observe(mac, Door::Http, format!("FAI monitor: {detail}"));
    if let Some(system) = waist.site().by_mac.get(&mac) {
        waist.note(Event {
            system: system.name.clone(),
            epoch: None,
            kind: EventKind::Seen {
                stage,
                detail,
                by: "fai-monitor".to_string(),
            },
        });
    }
}

/// The step that a line tells of, and the line itself without its host's name.
fn progress(line: &str) -> Option<(Stage, String)> {
    let mut words = line.split_whitespace();
    let _host = words.next()?;
    let verb = words.next()?;
    let task = words.next()?;
    let rest = words.next();
    let known = ["TASKBEGIN", "TASKEND", "TASKERROR", "HOOK"];
    if !known.contains(&verb) {
        return None;
    }
    let detail = match (verb, rest) {
        ("TASKBEGIN", _) => "began".to_string(),
        ("TASKEND", Some("0") | None) => "done".to_string(),
        ("TASKEND" | "TASKERROR", Some(code)) => format!("ended with code {code}"),
        (verb, _) => verb.to_ascii_lowercase(),
    };
    let stage = Stage::clean(task);
    Some((stage, printable(&format!("FAI {task} {detail}"), 120)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_protocol_are_steps() {
        for (line, stage, detail) in [
            (
                "web01 TASKBEGIN partition",
                "partition",
                "FAI partition began",
            ),
            ("web01 TASKEND extrbase 0", "extrbase", "FAI extrbase done"),
            (
                "web01 TASKERROR instsoft 471",
                "instsoft",
                "FAI instsoft ended with code 471",
            ),
            (
                "web01 HOOK partition.DEFAULT 0",
                "partition-default",
                "FAI partition.DEFAULT hook",
            ),
        ] {
            let (got, said) = progress(line).expect(line);
            assert_eq!((got.as_str(), said.as_str()), (stage, detail));
        }
        for line in [
            "",
            "web01",
            "web01 check",
            "web01 VARIABLE x",
            "GET / HTTP/1.0",
        ] {
            assert_eq!(progress(line), None, "{line}");
        }
    }
}
