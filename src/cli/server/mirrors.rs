//! The mirror caches behind the machine plane's door.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::artefacts::mirror::{self, Cache, Limits};
use crate::control::Control;
use crate::model::{Mirror, Refusal};
use crate::serve::http::mirror::Finding;
use crate::serve::http::{Found, Mirrors, Missing};

/// The caches of a site.
struct Caches {
    cache: Cache,
    control: Arc<Control>,
    /// What the cache was told of last.
    declared: Arc<Mutex<BTreeMap<String, Mirror>>>,
}

/// Opens the caches below the state directory.
///
/// # Errors
/// If their directory cannot be made.
pub(super) fn mirrors(control: &Arc<Control>, state: &Path) -> Result<Arc<dyn Mirrors>, Refusal> {
    let site = control.site();
    let cache = Cache::open(state, &site.mirrors, Limits::default())
        .map_err(|e| Refusal::failed(e.to_string()))?;
    Ok(Arc::new(Caches {
        cache,
        control: control.clone(),
        declared: Arc::new(Mutex::new(site.mirrors.clone())),
    }))
}

impl Caches {
    /// Follows what a new revision of the site declares, when the first request after it comes. The
    /// cache runs `apt-config` then, which takes its time: requests wait for it, and their threads do
    /// not.
    async fn follow(&self) {
        if *self.declared.lock().await == self.control.site().mirrors {
            return;
        }
        let (cache, control) = (self.cache.clone(), self.control.clone());
        let declared = self.declared.clone();
        let declare = move || {
            let mut declared = declared.blocking_lock();
            let site = control.site();
            // another request may have been faster
            if *declared != site.mirrors {
                cache.declare(&site.mirrors);
                declared.clone_from(&site.mirrors);
            }
        };
        if let Err(error) = tokio::task::spawn_blocking(declare).await {
            tracing::error!(%error, "the mirrors that the site declares could not be taken over");
        }
    }
}

impl Mirrors for Caches {
    fn find<'a>(
        &'a self,
        client: Ipv4Addr,
        mirror: &'a str,
        path: &'a str,
        head: bool,
    ) -> Finding<'a> {
        Box::pin(async move {
            self.follow().await;
            match self.cache.get(client.into(), mirror, path, head).await {
                Ok(mirror::Found::File {
                    file,
                    size,
                    etag,
                    last_modified,
                    content_type,
                }) => Ok(Found::File {
                    file,
                    size,
                    etag,
                    last_modified,
                    content_type,
                }),
                Ok(mirror::Found::Growing {
                    bytes,
                    size,
                    last_modified,
                    content_type,
                }) => {
                    let bytes = Box::pin(bytes);
                    Ok(Found::Stream {
                        bytes,
                        size,
                        last_modified,
                        content_type,
                    })
                }
                Err(mirror::Missing::Busy) => {
                    self.control.tally().count("mirror.refused");
                    Err(Missing::Busy)
                }
                Err(mirror::Missing::NotFound) => Err(Missing::NotFound),
                Err(mirror::Missing::Upstream(why)) => Err(Missing::Upstream(why)),
            }
        })
    }
}
