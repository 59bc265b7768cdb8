"""The method: arrays in, frozen dataclasses out; no AnnData, files, logging or plots."""
