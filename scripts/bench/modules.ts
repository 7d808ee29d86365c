/** Modules whose sizes suit the steps. */

/** A module of many people, with a zip of 120 KB. */
export const SMALL = {
  list: "/github.com/spf13/viper/@v/list",
  latest: "/github.com/spf13/viper/@latest",
  info: "/github.com/spf13/viper/@v/v1.21.0.info",
  mod: "/github.com/spf13/viper/@v/v1.21.0.mod",
  zip: "/github.com/spf13/viper/@v/v1.21.0.zip",
  absent: "/github.com/spf13/viper/@v/v1.99.9.info",
} as const;

/** A zip of nearly 10 MB. */
export const BIG = {
  info: "/github.com/gohugoio/hugo/@v/v0.162.0.info",
  mod: "/github.com/gohugoio/hugo/@v/v0.162.0.mod",
  zip: "/github.com/gohugoio/hugo/@v/v0.162.0.zip",
} as const;

/** A zip of 450 KB. */
export const MIDDLE = {
  info: "/github.com/labstack/echo/v4/@v/v4.13.4.info",
  mod: "/github.com/labstack/echo/v4/@v/v4.13.4.mod",
  zip: "/github.com/labstack/echo/v4/@v/v4.13.4.zip",
} as const;

/** Never asked for before the source fails. */
export const OTHER = {
  list: "/github.com/gorilla/mux/@v/list",
  info: "/github.com/gorilla/mux/@v/v1.8.1.info",
  mod: "/github.com/gorilla/mux/@v/v1.8.1.mod",
  zip: "/github.com/gorilla/mux/@v/v1.8.1.zip",
} as const;
