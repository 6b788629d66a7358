// Styles are files that the bundler takes. Types alone.
declare module '*.css' {}
