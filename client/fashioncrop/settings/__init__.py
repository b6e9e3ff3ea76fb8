"""Settings: a flag, an environment variable and a line in a file out of one declaration.

A flag wins over the environment, that over `fashioncrop.toml` in the working folder, that over
`$XDG_CONFIG_HOME/fashioncrop/config.toml`, that over the default. `FASHIONCROP_CONFIG` names one file to be read in
place of the two. Every setting is `FASHIONCROP_` and its name in capitals in the environment, and its name in a file;
secrets have no flag, because other users of a machine can read its command lines.

>>> load_settings({"threshold": 0.5}).threshold
0.5
"""

from fashioncrop.settings._declaration import Settings
from fashioncrop.settings._load import load_settings
from fashioncrop.settings._show import Effective, effective, render_config

__all__ = ["Effective", "Settings", "effective", "load_settings", "render_config"]
