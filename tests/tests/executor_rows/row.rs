//! A row: a feature of an executor and the test that shows it.

use std::future::Future;
use std::pin::Pin;

use ringhold_node::ExecutorConfig;

use super::scene::Scene;

/// What runs a row. It panics if the row does not hold.
pub(crate) type Test = fn(Scene) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A feature of an executor and the test that shows it.
pub(crate) struct Row {
    /// Its id in the reference on executors: `exec-C36`.
    pub(crate) id: &'static str,
    /// What holds, in a line.
    pub(crate) says: &'static str,
    /// The test's name.
    pub(crate) name: &'static str,
    /// The file of the test.
    pub(crate) file: &'static str,
    pub(crate) test: Test,
    /// The executor that it runs on; three members share it.
    pub(crate) settings: fn(ExecutorConfig) -> ExecutorConfig,
}

impl Row {
    /// The same with an executor of its own making.
    pub(crate) const fn on(mut self, settings: fn(ExecutorConfig) -> ExecutorConfig) -> Self {
        self.settings = settings;
        self
    }
}

/// A row by its id, what it says, and its test.
macro_rules! row {
    ($id:literal, $says:literal, $test:ident) => {
        $crate::row::Row {
            id: $id,
            says: $says,
            name: stringify!($test),
            file: file!(),
            test: |scene| Box::pin($test(scene)),
            settings: |executor| executor,
        }
    };
}
pub(crate) use row;
