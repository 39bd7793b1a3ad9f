# Types "lsnap back" and the tabulator into a zsh with a terminal, and succeeds if it completes to "lsnap backup".
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= ; autoload -Uz compinit; compinit -u -D'
zpty -w -n shell $'lsnap back\t'
seen=
for i in {1..100}; do
    while zpty -r -t shell part; do seen+=${part//[$'\r\n']/}; done
    [[ $seen == *'lsnap backup'* ]] && exit
    sleep 0.1
done
print -r -- "the terminal showed: ${(q)seen}" >&2
exit 1
