//! Generates functions that only call an async function and wait for it, in this crate and in
//! crates that extend it.

/// Generates the functions of a table. Each function calls one async function and waits for it with
/// [`wait`](super::wait). An entry therefore does not compile if its async function was removed or
/// has another signature.
///
/// Place a table in an `impl` of a type that stores the async value in its field `inner`, or in a
/// module if no entry has `self`. The table begins with the type or trait of that value. An entry
/// is a signature with its description. The macro adds the section on errors. An entry has one of
/// these forms, depending on the function that it calls:
///
/// ```text
/// forward! { Target:
///     /// The method of the same name, with the same arguments.
///     pub fn holds(&self, node: Node<'_>) -> Result<Presence>;
///     /// Another method, or other arguments.
///     pub fn push_reader(&self, reader: R) -> Result<Descriptor> = push_stream(stream(reader));
///     /// A function whose first argument is a store.
///     pub fn add_tags(&self, tags: &[Tag]) -> Result<Descriptor> = fn add_tags;
/// }
/// ```
///
/// An entry without `self` calls the function with the same name in the type or module of the
/// table. An entry that does not return a `Result` calls a method that is not async, for example
/// one that starts a listing.
///
/// Except in entries with `= fn`, the macro converts the returned value, for example an async
/// upload to a blocking one.
#[doc(hidden)]
#[macro_export]
macro_rules! forward {
    ($owner:ident:) => {};
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> Result<$ok:ty>;
        $($rest:tt)*
    ) => {
        $crate::forward! { $owner: $(#[$doc])*
            pub fn $name(&self $(, $arg: $type)*) -> Result<$ok> = $name($($arg),*);
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&mut self $(, $arg:ident: $type:ty)* $(,)?) -> Result<$ok:ty>;
        $($rest:tt)*
    ) => {
        $crate::forward! { $owner: $(#[$doc])*
            pub fn $name(&mut self $(, $arg: $type)*) -> Result<$ok> = $name($($arg),*);
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> Result<$ok:ty>
            = $call:ident($($sent:expr),*);
        $($rest:tt)*
    ) => {
        $crate::forward! {
            @method [$(#[$doc])*] pub fn $name([&self] self $(, $arg: $type)*) -> $ok =
            $owner::$call($($sent),*)
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&mut self $(, $arg:ident: $type:ty)* $(,)?) -> Result<$ok:ty>
            = $call:ident($($sent:expr),*);
        $($rest:tt)*
    ) => {
        $crate::forward! {
            @method [$(#[$doc])*] pub fn $name([&mut self] self $(, $arg: $type)*) -> $ok =
            $owner::$call($($sent),*)
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> Result<$ok:ty>
            = fn $function:path;
        $($rest:tt)*
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        #[doc = concat!("Same as [`", stringify!($function), "`](fn@", stringify!($function), ").")]
        pub fn $name(&self, $($arg: $type),*) -> Result<$ok> {
            $crate::blocking::wait($function(&*self.inner, $($arg),*))
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> Result<$ok:ty>;
        $($rest:tt)*
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        #[doc = concat!(
            "Same as the async [`", stringify!($name), "`]",
            "(fn@", stringify!($owner), "::", stringify!($name), ").",
        )]
        pub fn $name($($arg: $type),*) -> Result<$ok> {
            $crate::blocking::wait($owner::$name($($arg),*)).map(Into::into)
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        $owner:ident: $(#[$doc:meta])*
        pub fn $name:ident(&self $(, $arg:ident: $type:ty)* $(,)?) -> $made:ty;
        $($rest:tt)*
    ) => {
        $(#[$doc])*
        pub fn $name(&self, $($arg: $type),*) -> $made {
            self.inner.$name($($arg),*).into()
        }
        $crate::forward! { $owner: $($rest)* }
    };
    (
        @method [$(#[$doc:meta])*]
        pub fn $name:ident([$($receiver:tt)*] $this:ident $(, $arg:ident: $type:ty)*) -> $ok:ty =
        $owner:ident::$call:ident($($sent:expr),*)
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        #[doc = concat!(
            "Same as the async [`", stringify!($call), "`]",
            "(method@", stringify!($owner), "::", stringify!($call), ").",
        )]
        pub fn $name($($receiver)*, $($arg: $type),*) -> Result<$ok> {
            $crate::blocking::wait($this.inner.$call($($sent),*)).map(Into::into)
        }
    };
}

pub(super) use forward;
