# Completion of ringer for bash.  The options come from the program itself.

_ringer() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local name words all=
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W 'run help --version' -- "$current")
        return
    fi
    [ "${COMP_WORDS[1]}" = run ] || return
    if [ "$current" = = ]; then # --stats= : bash takes the = for a word of its own
        current=
    elif [ "$previous" = = ]; then
        previous=${COMP_WORDS[COMP_CWORD - 2]}=
    fi
    while IFS=$'\t' read -r name words; do
        all+=" $name"
        [ "$name" = "$previous" ] || continue
        case $words in
        '') ;;
        file)
            compopt -o filenames 2>/dev/null
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        *) mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current") ;;
        esac
        [ "${#COMPREPLY[@]}" -eq 0 ] || return
    done < <("${COMP_WORDS[0]}" --option-words 2>/dev/null)
    case $current in
    -*) mapfile -t COMPREPLY < <(compgen -W "$all" -- "$current") ;;
    esac
}
complete -F _ringer ringer
