"""The only code that touches bytes from outside: adapters, archives, kits, rows of text.

Everything here is bounded by ``workbench.limits``, ends in plain data or one ``IntakeError``, and
never loads a model: no torch, no pandas, no pickle, and no class of PEFT.
"""
