"""The command line; each command is one public function.

Its modules:

    command_line          the command line and its exit codes
    console               how commands are declared, and progress reported
    shared_arguments      arguments that several commands take
    grouping_commands     generate, group, price, edit
    review_commands       explain, profile, validate, compare, worklist
    simulation_commands   simulate, report, demo
    finance_commands      audit sample, audit extrapolate, bridge
    table_commands        tables list, show, verify, diff, import; claims suggest, check
    scenario_commands     scenarios list, show, check; selftest
    assumptions           what is assumed where claims or arguments do not say
    frame_files           frames in files and on standard input and output
    main_job              the main job, from claims to a figure
    installation_check    whether an installation gives known answers
"""
