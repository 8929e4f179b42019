//! One TFTP server on its own thread, started again whenever it ends.

use std::net::UdpSocket;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_tftp::server::TftpServerBuilder;
use futures_lite::future;
use tokio::sync::watch;

use super::desk::Desk;
use super::limits::Limits;

/// How long is waited before a server that ended is started again.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) struct Shard {
    /// Kept, so that a server that ended gets the same port again without asking for privileges.
    pub(super) socket: UdpSocket,
    pub(super) desk: Desk,
    pub(super) limits: Limits,
    pub(super) stopped: watch::Receiver<bool>,
}

impl Shard {
    /// Until the door closes. The thread that serves also waits for the sockets (`async_io::block_on`):
    /// with any other executor a thread of async-io does that, and every block that is acknowledged
    /// costs a switch between the two. async-tftp's `serve` returns on any error of its socket, and a panic
    /// in one transfer ends all of them; neither may end the service.
    pub(super) fn run(self) {
        loop {
            let once =
                std::panic::catch_unwind(AssertUnwindSafe(|| async_io::block_on(self.serve())));
            match once {
                Ok(None) => return,
                Ok(Some(error)) => tracing::error!(%error, "TFTP ended and is started again"),
                Err(_) => tracing::error!("TFTP panicked and is started again"),
            }
            if *self.stopped.borrow() {
                return;
            }
            std::thread::sleep(AGAIN);
        }
    }

    /// `None` once the door closes.
    async fn serve(&self) -> Option<async_tftp::Error> {
        let mut stopped = self.stopped.clone();
        let closed = async {
            let _closed_either_way = stopped.wait_for(|stop| *stop).await.is_ok();
            None
        };
        let served = async {
            let served = async {
                let limits = &self.limits;
                TftpServerBuilder::with_handler(self.desk.clone())
                    .std_socket(self.socket.try_clone()?)?
                    .block_size_limit(limits.block_size)
                    .window_size_limit(limits.window)
                    .timeout(limits.timeout)
                    .ignore_client_timeout()
                    .max_send_retries(limits.retries)
                    .build()
                    .await?
                    .serve()
                    .await
            };
            served.await.err()
        };
        future::or(closed, served).await
    }
}
