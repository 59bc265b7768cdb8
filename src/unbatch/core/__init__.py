"""The mathematics: functions of arrays that know of no file, no AnnData and no screen, and change no argument."""
