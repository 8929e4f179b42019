//! Loads the doors from outside. `cargo bench --bench doors -- help` lists what it can do.
//!
//! `serve` opens the machine plane and TFTP over a waist without a store, with systems web01 to
//! web09 at 127.0.0.11 to 19 and 127.0.0.1 lent to web01. `tftp` is a generator that loads any TFTP
//! server, so that peers are measured with the very same clients.
#![allow(clippy::print_stdout, missing_docs)]

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farrier::serve::http::{Limits, MachinePlane, NoMirrors, accept, router};
use farrier::serve::{Hot, tftp};
use tokio::net::UdpSocket;

#[path = "../tests/it/standin.rs"]
#[allow(dead_code)]
mod standin;

const HELP: &str = "\
doors serve HTTP_PORT TFTP_PORT TFTP_SHARDS FILE...   serve FILE... as a/DIGEST/debian-12/NAME
doors tftp ADDRESS:PORT NAME CLIENTS BLKSIZE WINDOW   every client probes the size, then fetches";

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| a != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve", http, tftp, shards, files @ ..] => {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let (http, tftp) = (number(http), number(tftp));
            runtime.block_on(serve(http as u16, tftp as u16, number(shards), files));
        }
        ["tftp", address, name, clients, block_size, window] => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let address = address.parse().expect("ADDRESS:PORT");
            let load = Load {
                server: address,
                name: (*name).to_string(),
                block_size: number(block_size),
                window: number(window),
            };
            runtime.block_on(load_tftp(load, number(clients)));
        }
        _ => println!("{HELP}"),
    }
}

fn number(text: &str) -> usize {
    text.parse().expect("a number")
}

async fn serve(http: u16, tftp_port: u16, shards: usize, files: &[&str]) {
    let dir = tempfile::tempdir().expect("a directory");
    let mut artefacts = Vec::new();
    for file in files {
        let path = Path::new(file);
        let name = path.file_name().and_then(|n| n.to_str()).expect("a name");
        let contents = std::fs::read(path).expect("a file");
        for distro in ["debian-12", "loaders"] {
            artefacts.push(standin::artefact(dir.path(), distro, name, &contents));
        }
    }
    for artefact in &artefacts {
        let id = &artefact.id;
        println!("/a/{}/{}/{}", artefact.digest.short(), id.distro, id.name);
    }
    let planned = standin::planned(&artefacts[0]);
    let waist = standin::Standin::new(artefacts);
    waist.lend(Ipv4Addr::LOCALHOST, standin::mac(1));
    waist.forgetful();
    waist.flag(1, planned.clone(), vec![planned]);
    let hot = Arc::new(Hot::new(512 << 20));
    let plane = MachinePlane {
        waist: waist.clone(),
        hot: hot.clone(),
        mirrors: Arc::new(NoMirrors),
    };
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, http)).await;
    let limits = Limits {
        per_address: 4096,
        ..Limits::default()
    };
    let app = router(Arc::new(plane));
    let _http = accept::start(vec![listener.expect("bound")], app, limits).expect("started");
    let address = format!("127.0.0.1:{tftp_port}")
        .parse()
        .expect("an address");
    let sockets = tftp::bind(address, shards).expect("bound");
    let limits = tftp::Limits {
        per_address: 4096,
        ..tftp::Limits::default()
    };
    let _tftp = tftp::start(sockets, waist, hot, limits).expect("started");
    println!("serving");
    std::future::pending::<()>().await;
}

#[derive(Clone)]
struct Load {
    server: SocketAddr,
    name: String,
    block_size: usize,
    window: usize,
}

#[derive(Default)]
struct Fetched {
    bytes: u64,
    sum: u64,
    again: u64,
    longest: Duration,
}

/// As many clients at once as asked for. Prints the aggregate rate and what went wrong.
async fn load_tftp(load: Load, clients: usize) {
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        let load = load.clone();
        tasks.spawn(async move { load.client().await });
    }
    let (mut total, mut failed) = (Fetched::default(), 0);
    let mut sums = std::collections::BTreeSet::new();
    while let Some(done) = tasks.join_next().await {
        match done.expect("no panic") {
            Ok(one) => {
                total.bytes += one.bytes;
                total.again += one.again;
                total.longest = total.longest.max(one.longest);
                sums.insert(one.sum);
            }
            Err(error) => {
                failed += 1;
                println!("failed: {error}");
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "clients {clients} window {} seconds {seconds:.2} MB/s {:.1} failed {failed} sent-again {} slowest {:.2} contents {}",
        load.window,
        total.bytes as f64 / seconds / 1e6,
        total.again,
        total.longest.as_secs_f64(),
        if sums.len() <= 1 { "same" } else { "DIFFER" },
    );
}

impl Load {
    /// As firmware does it: a request for the size that is broken off, then the real one from
    /// another port.
    async fn client(&self) -> io::Result<Fetched> {
        let began = Instant::now();
        let probe = UdpSocket::bind("0.0.0.0:0").await?;
        let mut buffer = vec![0; 2048];
        let (_, from, _) = self.ask(&probe, &mut buffer).await?;
        probe.send_to(b"\0\x05\0\x08User aborted\0", from).await?;
        drop(probe);

        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        let (length, from, mut again) = self.ask(&socket, &mut buffer).await?;
        if buffer[1] != 6 {
            let said = String::from_utf8_lossy(&buffer[4..length]).into_owned();
            return Err(io::Error::other(format!("no OACK: {said}")));
        }
        // A server that does not know `windowsize` leaves it out.
        let oack = String::from_utf8_lossy(&buffer[2..length]).into_owned();
        let window = if oack.contains("windowsize") {
            self.window
        } else {
            1
        };
        socket.connect(from).await?;
        let ack = |block: u16| [0, 4, (block >> 8) as u8, block as u8];
        socket.send(&ack(0)).await?;
        let mut fetched = Fetched::default();
        let (mut last, mut since) = (0u16, 0);
        loop {
            let length = match receive(&socket, &mut buffer).await {
                Ok(length) => length,
                Err(_) if again < 20 => {
                    again += 1;
                    socket.send(&ack(last)).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if buffer[1] != 3 {
                return Err(io::Error::other("an ERROR in mid-transfer"));
            }
            let block = u16::from_be_bytes([buffer[2], buffer[3]]);
            if block != last.wrapping_add(1) {
                continue;
            }
            last = block;
            since += 1;
            fetched.bytes += length as u64 - 4;
            let part = buffer[4..length].iter().step_by(97);
            fetched.sum = part.fold(fetched.sum, |s, b| s.rotate_left(5) ^ u64::from(*b));
            let end = length - 4 < self.block_size;
            if end || since == window {
                socket.send(&ack(block)).await?;
                since = 0;
            }
            if end {
                fetched.again = again;
                fetched.longest = began.elapsed();
                return Ok(fetched);
            }
        }
    }

    async fn ask(
        &self,
        socket: &UdpSocket,
        buffer: &mut [u8],
    ) -> io::Result<(usize, SocketAddr, u64)> {
        let mut request = vec![0, 1];
        let block_size = self.block_size.to_string();
        let window = self.window.to_string();
        let mut words = vec![
            self.name.as_str(),
            "octet",
            "tsize",
            "0",
            "blksize",
            &block_size,
        ];
        if self.window > 1 {
            words.extend(["windowsize", window.as_str()]);
        }
        for word in words {
            request.extend_from_slice(word.as_bytes());
            request.push(0);
        }
        for again in 0..10 {
            socket.send_to(&request, self.server).await?;
            let wait = tokio::time::timeout(Duration::from_secs(1), socket.recv_from(buffer));
            if let Ok(received) = wait.await {
                let (length, from) = received?;
                return Ok((length, from, again));
            }
        }
        Err(io::Error::other("no answer to ten requests"))
    }
}

/// Tries first and waits only if nothing is there: half as many system calls under load.
async fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<usize> {
    tokio::time::timeout(Duration::from_secs(2), socket.recv(buffer))
        .await
        .map_err(|_| io::ErrorKind::TimedOut.into())
        .and_then(|received| received)
}
