"""The command line; each command is one public function.

Its modules:

    main                the command line and its exit codes
    console             how commands are declared, and progress reported
    admission_commands  commands on admissions
    table_commands      commands on tables and scenarios
    frame_files         frames in files and on standard input and output
    main_job            the main job, from claims to a figure
    installation_check  whether an installation gives known answers
"""
