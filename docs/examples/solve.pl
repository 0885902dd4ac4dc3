#!/usr/bin/env perl
# An implementation in plain Perl that has one stage, EK-FAC's damped solve:
#
#     refimpl check --exec "perl docs/examples/solve.pl" --stage solve
#
# It shows the protocol of docs/another-language.md without any library of numbers.
use strict;
use warnings;
use JSON::PP;    # a core module

$| = 1;          # answers leave at once

while (my $line = <STDIN>) {
    my $message = decode_json($line);
    last if $message->{op} eq 'stop';
    if ($message->{op} eq 'start') {
        say_json({
            declaration => { name => 'perl', version => '1', curvature => 'ekfac', conventions => {} },
            stages      => ['solve'],
        });
        next;
    }
    my @layers = layers_in_order($line);
    my $answer = eval { solve($message, @layers) };
    if (!defined $answer) {
        say_json({ id => $message->{id}, error => "$@" });
        next;
    }
    write_safetensors($message->{answer}, $answer);
    say_json({ id => $message->{id}, ok => JSON::PP::true });
}

# X = Q_S ((Q_S^T V Q_A) / (Lambda + lambda)) Q_A^T for every vector and layer (Grosse et al. 2023, eq. 20).
sub solve {
    my ($message, @layers) = @_;
    my $given = read_safetensors($message->{argument_arrays});
    my ($count, $length) = @{ $given->{vectors}{shape} };
    my $damping = $message->{arguments}{damping};
    my @solved  = (0) x ($count * $length);
    my $place   = 0;    # of the layer in a flat vector, its matrix row by row
    for my $layer (@layers) {
        my $Lambda = $given->{"eigenvalues/$layer"};
        my ($O, $I) = @{ $Lambda->{shape} };
        my ($Q_S, $Q_A) = map { $given->{"basis/$layer/$_"}{data} } qw(Q_S Q_A);
        for my $k (0 .. $count - 1) {
            my $start = $k * $length + $place;
            my @V     = @{ $given->{vectors}{data} }[ $start .. $start + $O * $I - 1 ];
            my $X     = product(product(turned($Q_S, $O, $O), \@V, $O, $O, $I), $Q_A, $O, $I, $I);
            $X->[$_] /= $Lambda->{data}[$_] + $damping for 0 .. $O * $I - 1;
            $X = product(product($Q_S, $X, $O, $O, $I), turned($Q_A, $I, $I), $O, $I, $I);
            @solved[ $start .. $start + $O * $I - 1 ] = @$X;
        }
        $place += $O * $I;
    }
    return { shape => [ $count, $length ], data => \@solved };
}

# A [n, m] times B [m, p], row by row.
sub product {
    my ($A, $B, $n, $m, $p) = @_;
    my @C = (0) x ($n * $p);
    for my $i (0 .. $n - 1) {
        for my $j (0 .. $m - 1) {
            my $a = $A->[ $i * $m + $j ];
            $C[ $i * $p + $_ ] += $a * $B->[ $j * $p + $_ ] for 0 .. $p - 1;
        }
    }
    return \@C;
}

# The transpose of A [n, m].
sub turned {
    my ($A, $n, $m) = @_;
    return [ map { my $j = $_; map { $A->[ $_ * $m + $j ] } 0 .. $n - 1 } 0 .. $m - 1 ];
}

# The layers in the order of flat vectors, which a Perl hash does not keep: from the text itself.
sub layers_in_order {
    my ($shapes) = $_[0] =~ /"shapes":\s*\{([^{}]*)\}/;
    return $shapes =~ /"([^"]+)":\s*\[/g;
}

# Arrays of doubles by name: the length of the header in 8 bytes, the header in JSON, the numbers.
sub read_safetensors {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/;
    my $bytes  = <$file>;
    my $length = unpack 'Q<', $bytes;
    my $header = decode_json(substr $bytes, 8, $length);
    my %arrays;
    for my $name (grep { $_ ne '__metadata__' } keys %$header) {
        my ($dtype, $shape, $ends) = @{ $header->{$name} }{qw(dtype shape data_offsets)};
        next if $dtype ne 'F64';
        my $data = substr $bytes, 8 + $length + $ends->[0], $ends->[1] - $ends->[0];
        $arrays{$name} = { shape => $shape, data => [ unpack 'd<*', $data ] };
    }
    return \%arrays;
}

sub write_safetensors {
    my ($path, $array) = @_;
    my $data   = pack 'd<*', @{ $array->{data} };
    my $header = encode_json({
        answer => { dtype => 'F64', shape => $array->{shape}, data_offsets => [ 0, length $data ] },
    });
    open my $file, '>:raw', $path or die "$path: $!";
    print {$file} pack('Q<', length $header), $header, $data;
    close $file or die "$path: $!";
}

sub say_json { print encode_json($_[0]), "\n" }
