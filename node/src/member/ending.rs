//! How the end of the partition thread is told.

use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::control::ControlPlane;
use crate::spawn;

/// How the partition thread ended: `None` while it runs, an error if nobody asked for its end.
pub(crate) type Ended = Option<Result<(), String>>;

/// Tells of the end of the partition thread, also when it panics. A member that can no longer drive its replicas must not look
/// alive: the others would wait for it for ever, so it falls silent and they take over what it led.
pub(super) struct Ending {
    pub(super) control: ControlPlane,
    /// Where the control plane runs.
    pub(super) runtime: Handle,
    pub(super) ended: watch::Sender<Ended>,
}

impl Ending {
    /// The thread has ended.
    pub(super) fn tell(self, result: Result<(), String>) {
        self.end(result);
    }

    fn end(&self, result: Result<(), String>) {
        if let Err(reason) = &result {
            tracing::error!(reason, "the member stops");
            let control = self.control.clone();
            let _inside = self.runtime.enter();
            spawn::task("fall-silent", async move { control.fall_silent().await });
        }
        self.ended.send_replace(Some(result));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if self.ended.borrow().is_none() {
            self.end(Err("the partition thread panicked".to_owned()));
        }
    }
}
